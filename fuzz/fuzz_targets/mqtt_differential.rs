#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    (penstock_fuzz::mqtt_differential::TARGET.run)(data);
});
