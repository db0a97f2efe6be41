//! What the windows cost, and what they do when they may not cost that.
