//! Flow logs, in pieces of any size.
#![no_main]

use flow_log::{Analysis, Query};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&size, log)) = bytes.split_first() else { return };
    let read = |size: usize| {
        let mut analysis = Analysis::new(Query::default());
        let mut file = analysis.file("log");
        log.chunks(size).try_for_each(|piece| file.feed(piece))?;
        file.finish()?;
        Ok::<_, flow_log::LogError>(analysis.summary())
    };
    assert_eq!(read(usize::from(size) + 1), read(log.len().max(1)));
});
