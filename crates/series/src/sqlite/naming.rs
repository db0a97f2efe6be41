//! Which series there are, as the tables say it: the one thing in which the books of the two stores differ.

/// What statements over the books say of series.
#[derive(Debug)]
pub(crate) struct Naming {
    /// How many series a row of `device` has: an expression.
    pub(crate) series_count: &'static str,
    /// The table whose rows go with a device: it has a column `device`.
    pub(crate) table: &'static str,
    /// Whether the column `series` of a table is of a tenant (`?1`) and of one of the metrics whose names stand in `?4`, a JSON array, or of
    /// any where that is NULL: a condition.
    pub(crate) is_of_tenant: &'static str,
    /// Whether it is of a device (`?2`) of a tenant (`?1`): a condition that an index on the column answers.
    pub(crate) is_of_device: &'static str,
    /// `superseded` with `device`.
    pub(crate) superseded: &'static str,
    /// The name of the metric of a row of that: an expression.
    pub(crate) metric: &'static str,
    /// `late_point` with `device`.
    pub(crate) late: &'static str,
    /// How many readings the tables of points have, by tenant: a statement.
    pub(crate) points: &'static str,
}

/// A row of `series` for each, with a number of its own.
pub(crate) const BY_SERIES: Naming = Naming {
    series_count: "(SELECT count(*) FROM series WHERE series.device = device.no)",
    table: "series",
    is_of_tenant: "series IN (SELECT series.no FROM series JOIN device ON device.no = series.device
        WHERE tenant = ?1 AND (?4 IS NULL OR metric IN (SELECT value FROM json_each(?4))))",
    is_of_device: "series IN (SELECT series.no FROM series JOIN device ON device.no = series.device
        WHERE tenant = ?1 AND id = ?2)",
    superseded: "superseded JOIN series ON series.no = superseded.series JOIN device ON device.no = series.device",
    metric: "series.metric",
    late: "late_point JOIN series ON series.no = late_point.series JOIN device ON device.no = series.device",
    points: "SELECT tenant, sum((SELECT count(*) FROM point WHERE series = series.no)
            + (SELECT count(*) FROM corrected_point WHERE series = series.no))
        FROM device JOIN series ON series.device = device.no GROUP BY tenant",
};
