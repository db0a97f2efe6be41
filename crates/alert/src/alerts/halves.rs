//! A batch is done as a whole; only where a damaged row is in the way it is taken apart.

use crate::{Error, Result};

/// Does all in one attempt. Where that needs a row that is damaged, it is done in halves, and halves of these, until what needs the row
/// stands alone and is passed over: one damaged row costs one thing undone and a score of attempts, and holds up nobody.
///
/// # Errors
/// Those of an attempt but [`Error::Row`], and those of passing over: what comes after is not done.
pub(super) fn in_halves<T>(
    all: &[T],
    attempt: &mut dyn FnMut(&[T]) -> Result<()>,
    pass_over: &mut dyn FnMut(&T, &Error) -> Result<()>,
) -> Result<()> {
    match (attempt(all), all) {
        (Err(error @ Error::Row { .. }), [one]) => pass_over(one, &error),
        (Err(Error::Row { .. }), [_, _, ..]) => {
            let (first, second) = all.split_at(all.len() / 2);
            in_halves(first, attempt, pass_over)?;
            in_halves(second, attempt, pass_over)
        }
        (done, _) => done,
    }
}
