//! A panic ends the process: half a server that still acknowledges is worse than none, and a restart recovers everything.
//!
//! The SQL engine is the exception. It reads what strangers write, changes nothing, and holds nothing that others wait for: there
//! a panic ends one statement, or one connection of the PostgreSQL wire.

/// Makes it so, from now on.
pub(crate) fn make_panics_fatal() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        if std::thread::current().name() != Some(query::THREADS) {
            std::process::abort();
        }
    }));
}
