//! Which device a payload names, whatever else is wrong with it.

use record::{DeviceId, Encoding};

use super::{as_text, influx, json};

/// The device that each element of a payload names; `None` where one names none, or another one, or where the payload is no text of its
/// encoding. It is for what is told of a message that could not be used: [`super::decode`] says what can.
#[must_use]
pub fn named_device(encoding: Encoding, payload: &[u8]) -> Option<DeviceId> {
    let text = as_text(payload).ok()?;
    let mut named = Named::default();
    match encoding {
        Encoding::Json => json::each_device(text, &mut named),
        Encoding::Ndjson => text.lines().for_each(|line| json::each_device(line, &mut named)),
        Encoding::Influx => influx::each_device(text, &mut named),
        Encoding::Opaque | Encoding::Avro | Encoding::Protobuf => {}
    }
    named.device.filter(|_| !named.differ)
}

/// What elements name.
#[derive(Default)]
pub(super) struct Named {
    device: Option<DeviceId>,
    /// They do not all name one device.
    differ: bool,
}

impl Named {
    /// An element names this, or nothing.
    pub(super) fn add(&mut self, name: Option<&str>) {
        match name.and_then(|name| DeviceId::parse(name).ok()) {
            Some(device) if self.device.as_ref().is_none_or(|known| *known == device) => {
                self.device = Some(device);
            }
            _ => self.differ = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_that_all_elements_name() {
        use Encoding::{Avro, Influx, Json, Ndjson};
        for (encoding, payload, expected) in [
            (Json, r#"{"device_id":"d","metric":"t"}"#, Some("d")),
            (Json, r#" {"metrics":{"id":"no"},"value":[{"device":"x"}],"deviceId":7} "#, Some("7")),
            (Json, r#"{"device":"d","value":NaN,"metric":"t"}"#, Some("d")),
            (Json, r#"{"d\u0069":1,"id":"\u0064"}"#, Some("d")),
            (Json, r#"[{"id":"d","value":1}, {"value":2,"id":"d"}]"#, Some("d")),
            (Json, r#"[{"id":"d"},{"id":"e"}]"#, None),
            (Json, r#"[{"id":"d"},{"metric":"t"}]"#, None),
            (Json, r#"[{"id":"d"},7]"#, None),
            (Json, r#"[{"id":"d"},{"value":NaN"#, None),
            (Json, r#"{"id":"d","device":"e"}"#, None),
            (Json, r#"{"id":["d"]}"#, None),
            (Json, r#"{"id":"a/+"}"#, None),
            (Json, r#""d""#, None),
            (Json, "", None),
            (Ndjson, "{\"id\":\"d\"}\n\n  {\"id\":\"d\",\n", Some("d")),
            (Ndjson, "{\"id\":\"d\"}\n{\"id\":\"e\"}", None),
            (Influx, "m,host=h,device_id=d f=x 1\n# no\n\nm,device_id=d f=1", Some("d")),
            (Influx, "m,host=a\\ b f=1", Some("a b")),
            (Influx, "m,host=h f=", Some("h")),
            (Influx, "m,host=h f=1\nm f=1", None),
            (Influx, "m,tag=,host=h f=1", None),
            (Avro, r#"{"id":"d"}"#, None),
        ] {
            let found = named_device(encoding, payload.as_bytes());
            assert_eq!(found.as_ref().map(DeviceId::as_str), expected, "{encoding:?} {payload}");
        }
        assert_eq!(named_device(Json, b"{\"id\":\"d\",\"value\":\"\xff\"}"), None);
    }
}
