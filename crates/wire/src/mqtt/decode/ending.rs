//! DISCONNECT (3.14) and AUTH (3.15).

use super::super::reader::Reader;
use super::super::rules;
use super::super::{Auth, Carrier, DecodeError, Disconnect, Properties, ReasonCode};
use super::{Sender, codes};

/// Reason code and properties may be left out from the end (3.14.2.1, 3.14.2.2.1); in 3.1.1 there are none.
pub(super) fn disconnect<'a>(
    reader: &mut Reader<'a>,
    v5: bool,
    sender: Sender,
) -> Result<Disconnect<'a>, DecodeError> {
    let mut packet = Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY };
    if v5 && !reader.is_empty() {
        packet.reason = codes::read(reader, |code| codes::disconnect(sender, code), &rules::DISCONNECT_CODE)?;
        if !reader.is_empty() {
            let carrier = match sender {
                Sender::Client => Carrier::DisconnectOfClient,
                Sender::Server => Carrier::DisconnectOfServer,
            };
            packet.properties = Properties::read(reader, carrier)?;
        }
    }
    Ok(packet)
}

/// Empty means success, which only a server says (3.15.2.1); otherwise the method is there (3.15.2.2.2).
pub(super) fn auth<'a>(reader: &mut Reader<'a>, sender: Sender) -> Result<Auth<'a>, DecodeError> {
    if reader.is_empty() && sender == Sender::Server {
        return Ok(Auth { reason: ReasonCode::Success, properties: Properties::EMPTY });
    }
    if reader.is_empty() {
        return Err(reader.fail(&rules::AUTH_CODE));
    }
    let reason = codes::read(reader, |code| codes::auth(sender, code), &rules::AUTH_CODE)?;
    let properties_at = reader.at();
    let properties = Properties::read(reader, Carrier::Auth)?;
    if properties.auth_method().is_none() {
        return Err(reader.fail_at(properties_at, &rules::AUTH_WITHOUT_METHOD));
    }
    Ok(Auth { reason, properties })
}
