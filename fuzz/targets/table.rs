#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mithridate_testkit::fuzzing::table(bytes));
