//! The PostgreSQL wire, spoken well and badly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use rigs::truth::dice::Dice;

/// An answer cannot take longer than the limits of a statement and of its turn together, and something for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(70);

/// More than an answer may be; what comes beyond is a finding.
const MOST_BYTES: usize = 512 << 20;

/// A connection that was let in.
pub(crate) struct Wire(TcpStream);

/// All that came until the server was ready again, as it came, and whether there was an error without words.
pub(crate) struct Said {
    pub(crate) bytes: Vec<u8>,
    pub(crate) wordless: bool,
}

impl Wire {
    pub(crate) fn open(address: SocketAddr, user: &str, password: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).context("connecting")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut wire = Self(stream);
        wire.0.write_all(&startup(&[("user", user), ("database", "penstock")]))?;
        loop {
            match wire.message()? {
                (b'R', body) if body.starts_with(&3_i32.to_be_bytes()) => {
                    wire.0.write_all(&message(b'p', &[password.as_bytes(), b"\0"].concat()))?;
                }
                (b'E', body) => bail!("not let in: {}", String::from_utf8_lossy(&body)),
                (b'Z', _) => return Ok(wire),
                _ => {}
            }
        }
    }

    fn message(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if !(4..MOST_BYTES).contains(&length) {
            bail!("a message of {length} bytes");
        }
        let mut body = vec![0; length - 4];
        self.0.read_exact(&mut body)?;
        Ok((head[0], body))
    }

    fn until_ready(&mut self) -> anyhow::Result<Said> {
        let mut said = Said { bytes: Vec::new(), wordless: false };
        loop {
            let (kind, body) = self.message()?;
            if kind == b'Z' {
                return Ok(said);
            }
            if kind == b'E' {
                let words = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&b'M'));
                said.wordless |= words.is_none_or(|words| words.len() < 4);
            }
            said.bytes.extend(body);
            if said.bytes.len() > MOST_BYTES {
                bail!("an answer of more than {MOST_BYTES} bytes");
            }
        }
    }

    /// The simple protocol.
    pub(crate) fn simple(&mut self, sql: &str) -> anyhow::Result<Said> {
        self.0.write_all(&message(b'Q', &[sql.as_bytes(), b"\0"].concat()))?;
        self.until_ready()
    }

    /// Prepared, described, bound, executed in pieces; the parameters are what they are.
    pub(crate) fn extended(&mut self, sql: &str, dice: &mut Dice) -> anyhow::Result<Said> {
        let binary = i16::from(dice.chance(0.5));
        let parameters = dice.below(3);
        let mut bind = b"\0\0\0\x01".to_vec();
        bind.extend(i16::from(dice.chance(0.3)).to_be_bytes());
        bind.extend((parameters as i16).to_be_bytes());
        for _ in 0..parameters {
            let text = *dice.pick(&["d1", "1", "2026-11-20T12:00:00Z", "{a,b}", "\u{1}\u{2}\u{3}\u{4}", ""]);
            bind.extend((text.len() as i32).to_be_bytes());
            bind.extend(text.as_bytes());
        }
        bind.extend([0, 1]);
        bind.extend(binary.to_be_bytes());
        let rows = *dice.pick(&[0, 1, 7, i32::MAX, -1, i32::MIN]);
        let execute = message(b'E', &[b"\0", &rows.to_be_bytes()[..]].concat());
        let bytes = [
            message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat()),
            message(b'D', b"S\0"),
            message(b'B', &bind),
            message(b'D', b"P\0"),
            execute.clone(),
            execute,
            message(b'S', b""),
        ]
        .concat();
        self.0.write_all(&bytes)?;
        self.until_ready()
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 4) as u32;
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn startup(options: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for (name, value) in options {
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    [&((body.len() + 4) as u32).to_be_bytes()[..], &body].concat()
}

/// Bytes that are no protocol, or one that is out of order. What comes back is returned.
pub(crate) fn garbage(
    address: SocketAddr,
    user: &str,
    password: &str,
    dice: &mut Dice,
) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = match dice.below(9) {
        0 => Vec::new(),
        1 => {
            startup(&[("user", ""), ("database", "../../etc/passwd"), ("options", "-c statement_timeout=0")])
        }
        2 => startup(&[("user", &"u".repeat(9_000)), ("replication", "true")]),
        3 => [8_u32.to_be_bytes(), 80_877_103_u32.to_be_bytes()].concat(), // TLS
        4 => [16_u32.to_be_bytes(), 80_877_102_u32.to_be_bytes(), 1_u32.to_be_bytes(), 2_u32.to_be_bytes()]
            .concat(),
        5 => [9_u32.to_be_bytes(), 196_609_u32.to_be_bytes()].concat(),
        6 => startup(&[("user", user), ("client_encoding", "SQL_ASCII"), ("\u{7f}", "\u{1}")]),
        _ => startup(&[("user", user), ("database", "penstock")]),
    };
    if dice.chance(0.7) {
        bytes.extend(message(b'p', &[password.as_bytes(), b"\0"].concat()));
    }
    for _ in 0..=dice.below(6) {
        let kind = *dice.pick(b"QPBDESCXdcfFHp\x00\xff");
        let body: Vec<u8> = match dice.below(6) {
            0 => (0..dice.below(200)).map(|_| dice.below(256) as u8).collect(),
            1 => [b"\0SELECT 1\0", &i16::MAX.to_be_bytes()[..]].concat(),
            2 => b"SELECT 1".to_vec(), // no end
            3 => [b"\0\0", &u16::MAX.to_be_bytes()[..], &[0; 8]].concat(),
            4 => [b"p\0none\0", &[0, 0, 0, 1, 127, 255, 255, 255][..]].concat(),
            _ => b"Sx\0".to_vec(),
        };
        let mut packet = message(kind, &body);
        if dice.chance(0.4) {
            let length = *dice.pick(&[0_u32, 3, 4, 5, 1 << 20, 1 << 30, u32::MAX, 1 << 31]);
            packet[1..5].copy_from_slice(&length.to_be_bytes());
        }
        bytes.extend(packet);
    }
    if dice.chance(0.3) {
        bytes.truncate(dice.below(bytes.len().max(1)));
    }
    // The server may have hung up already.
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut said = Vec::new();
    let _ = stream.take(1 << 20).read_to_end(&mut said);
    Ok(said)
}
