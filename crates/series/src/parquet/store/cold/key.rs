//! What objects are called.

use super::super::manifest::RunFacts;
use super::super::period::Grain;

/// The first part of every key of a store: two stores may share a bucket.
pub(super) fn store_id(number: u64) -> String {
    format!("store={number:016x}")
}

/// The number in the first part of a key.
pub(super) fn store_number(store: &str) -> Option<u64> {
    let digits = store.strip_prefix("store=").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// Where the runs of a store are.
pub(super) fn runs(store: &str) -> String {
    format!("{store}/runs")
}

/// Where its catalogues are.
pub(super) fn catalogues(store: &str) -> String {
    format!("{store}/catalogue")
}

/// Where it stands who looks after its objects.
pub(super) fn owners(store: &str) -> String {
    format!("{store}/owner")
}

/// What a run's object is called, without the ending. Hive's way, so that other programs see tenant, kind and day as columns
/// and need not open what they do not want. The checksum tells runs apart that had the same number one after the other: a
/// number that no commit held is given again.
pub(super) fn of_run(store: &str, tenant: &str, kind: &str, facts: &RunFacts, checksum: u32) -> String {
    let tenant = plain(tenant);
    let (period, no) = (period(facts), facts.no);
    format!("{store}/runs/tenant={tenant}/kind={kind}/period={period}/{no:012}-{checksum:08x}")
}

/// What a file of rows that are about to be removed is called: of a date, in days since the epoch.
pub(in super::super) fn of_expired(tenant: &str, table: &str, day: i64, name: &str) -> String {
    format!("tenant={}/table={table}/date={}/{name}.parquet", plain(tenant), date(day))
}

/// The day, or the first day and how many.
fn period(facts: &RunFacts) -> String {
    let day = |index: i64| date(index.clamp(-1_000_000, 1_000_000));
    let index = facts.period.index;
    match facts.period.grain {
        Grain::Day => day(index),
        Grain::Month => format!("{}_32d", day(index.saturating_mul(32))),
        Grain::Era => format!("{}_1024d", day(index.saturating_mul(1024))),
        Grain::Ever => "ever".to_owned(),
    }
}

/// A day since the epoch as year, month and day of the Gregorian calendar.
fn date(day: i64) -> String {
    // Eras of 400 years, which all have as many days; years that begin in March, so that the leap day is the last.
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = (year + era * 400, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{of_month:02}", year + i64::from(month <= 2))
}

/// A name of a user as a part of a key: what could mean something there is written as its bytes.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => plain.push(char::from(byte)),
            _ => plain.push_str(&format!("%{byte:02X}")),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates_and_names_are_never_paths() {
        let dates = [(0, "1970-01-01"), (-1, "1969-12-31"), (11_016, "2000-02-29"), (11_017, "2000-03-01")];
        for (day, expected) in
            dates.into_iter().chain([(20_421, "2025-11-29"), (47_540, "2100-02-28"), (47_541, "2100-03-01")])
        {
            assert_eq!(date(day), expected);
        }
        assert_eq!(plain("../a b/ü=%"), "%2E%2E%2Fa%20b%2F%C3%BC%3D%25");
        assert_eq!(plain("acme-1_B"), "acme-1_B");
    }
}
