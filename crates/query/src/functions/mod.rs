//! Functions of time series beside DataFusion's own.

mod bounded;
mod calendar;
mod first_last;
pub(crate) mod time_bucket;

pub(crate) use calendar::Cut;

use std::sync::Arc;

use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

/// A session's state with the functions.
pub(crate) fn register(state: SessionState) -> SessionState {
    let mut builder = SessionStateBuilder::new_from_existing(state);
    let scalar = builder.scalar_functions().get_or_insert_default();
    scalar.retain(|function| !bounded::LEFT_OUT.contains(&function.name()));
    for function in scalar.iter_mut() {
        if bounded::BY_NUMBER.contains(&function.name()) || bounded::BY_TEXT.contains(&function.name()) {
            *function = Arc::new(ScalarUDF::from(bounded::Bounded(ScalarUDF::clone(function))));
        }
    }
    scalar.push(Arc::new(ScalarUDF::from(time_bucket::TimeBucket::new())));
    scalar.extend(crate::gapfill::functions());
    let aggregate = builder.aggregate_functions().get_or_insert_default();
    aggregate.push(Arc::new(AggregateUDF::from(first_last::Pick::first())));
    aggregate.push(Arc::new(AggregateUDF::from(first_last::Pick::last())));
    let mut state = builder.build();
    // `tags ->> 'line'`, `json_get_int`, ...: the tags of devices and the payloads of dead letters are JSON.
    datafusion_functions_json::register_all(&mut state).expect("its functions have names of their own");
    state
}
