//! The line protocol decoder: no panic, memory bounded by the input, and each line means by itself, and turned into
//! nanoseconds, what it means among others.

use record::{Encoding, TimeUnit};
use wire::payload::Message;

use crate::Target;
use crate::payload::{check, check_part, kind, message};

/// See the module.
pub const TARGET: Target = Target { name: "line_protocol", run, seeds, mend: |_| {} };

const UNITS: [Option<TimeUnit>; 4] =
    [None, Some(TimeUnit::Seconds), Some(TimeUnit::Milliseconds), Some(TimeUnit::Hours)];

fn run(data: &[u8]) -> u64 {
    let Some(message) = message(data, Encoding::Influx) else { return 0 };
    let message = Message { time_unit: UNITS[usize::from(data[0] >> 2) % UNITS.len()], ..message };
    check(&message, |outcome, readings, scratch| {
        if outcome.is_ok() {
            for (n, element) in scratch.elements().iter().enumerate() {
                check_part(
                    &Message { payload: &message.payload[element.range.clone()], ..message },
                    element.rows.clone(),
                    readings,
                );
                if element.rows.is_empty() {
                    continue;
                }
                assert!(
                    scratch.measurement(n).is_some_and(|name| !name.is_empty()) && scratch.tags(n).is_some()
                );
                let mut line = Vec::new();
                scratch.append_line(n, message.payload, message.time_unit, &mut line);
                check_part(
                    &Message { payload: &line, time_unit: None, ..message },
                    element.rows.clone(),
                    readings,
                );
            }
        }
        kind(outcome, readings, scratch)
    })
}

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "cpu,host=h,cpu=cpu0 usage=12.5,n=3i,u=4u,on=t,s=\"a \\\"b\\\" \\\\\" 1700000000\nmem,host=h used=1i\n",
        "# comment\r\n\r\nt,device_id=d1 value=1,x=-0,y=1e400,z=99999999999999999999i -5\r\n",
        "my\\ m\\,x,k\\=1=v\\ 2,device=d1 f\\ g=1 7",
        "t v=\"line\nbreak\" 5\nbad\nt a=TRUE,b=F",
    ];
    texts.iter().flat_map(|text| (0..16).map(move |how| [&[how], text.as_bytes()].concat())).collect()
}
