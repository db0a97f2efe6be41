//! Which device each element names.

use super::scan::{Fault, Scanner};
use crate::payload::keys::is_device_key;
use crate::payload::named::Named;

/// Adds what each element of a document names, as far as it can be read.
pub(in crate::payload) fn each_device(text: &str, named: &mut Named) {
    let mut scanner = Scanner::new(text, 0, text.len());
    scanner.white_space();
    match scanner.peek() {
        None => {}
        // What stands behind the fault is not known.
        Some(b'[') => each_of_array(&mut scanner, named).unwrap_or_else(|_| named.add(None)),
        Some(_) => drop(element(&mut scanner, named)),
    }
}

fn each_of_array(scanner: &mut Scanner<'_>, named: &mut Named) -> Result<(), Fault> {
    let mut more = scanner.open(b']')?;
    while more {
        element(scanner, named)?;
        more = scanner.more(b']')?;
    }
    Ok(())
}

fn element(scanner: &mut Scanner<'_>, named: &mut Named) -> Result<(), Fault> {
    if scanner.peek() != Some(b'{') {
        named.add(None);
        return scanner.skip();
    }
    let mut names_one = false;
    let outcome = members(scanner, &mut |name| {
        names_one = true;
        named.add(name);
    });
    if !names_one {
        named.add(None);
    }
    outcome
}

fn members(scanner: &mut Scanner<'_>, name: &mut dyn FnMut(Option<&str>)) -> Result<(), Fault> {
    let (mut key_buffer, mut text_buffer) = (String::new(), String::new());
    let mut more = scanner.open(b'}')?;
    while more {
        let names_device = is_device_key(scanner.key()?.text(&mut key_buffer));
        match scanner.peek() {
            Some(b'"') if names_device => name(Some(scanner.string()?.text(&mut text_buffer))),
            Some(b'0'..=b'9') if names_device => name(Some(scanner.number()?.1)),
            _ => {
                scanner.skip()?;
                if names_device {
                    name(None);
                }
            }
        }
        more = scanner.more(b'}')?;
    }
    Ok(())
}
