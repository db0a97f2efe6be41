//! Alerts: from transitions of rules to people, exactly once.
