#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| aimslog_proto::fuzz::key(data));
