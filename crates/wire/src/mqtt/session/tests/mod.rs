//! Tables over the state machine, each row naming the statement it stands for.
