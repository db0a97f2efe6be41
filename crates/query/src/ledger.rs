//! The account of every reading (R6.2): what became of it, and whether the account agrees with what is there.
//!
//! Three equations, each checked from another side:
//!
//! 1. Each line: accepted = stored + duplicate + dead + late + shed.
//! 2. All lines together have the records that lie between where the partitions' account began and where they
//!    stand. (What lies between there and the log's end is in flight.)
//! 3. The tables hold what the account says: readings, dead letters, late and replaced values; but for what was removed on
//!    purpose, of which there are records.

use std::collections::BTreeMap;
use std::ops::Range;

use record::{TenantId, Timestamp};
use series::{AccountEntry, Amounts, Audit, SeriesAudit, TenantAudit};

use crate::{Result, rfc3339};

/// Most uneven lines that are named one by one; one is enough to know that something is wrong.
const NAMED_LINES: usize = 10;

/// What a line of the answer stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// A kind of topic.
    #[default]
    Topic,
    /// A minute of arrival.
    Minute,
    /// Everything.
    Total,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The kind of topic, where lines are topics.
    pub topic: Option<String>,
    /// The minute's start, where lines are minutes.
    pub minute: Option<Timestamp>,
    /// What became of its readings.
    pub amounts: Amounts,
}

/// An account of some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// By rising topic or minute.
    pub lines: Vec<Line>,
    /// All lines together.
    pub totals: Amounts,
    /// What does not balance: nothing, unless there is a bug.
    pub reasons: Vec<String>,
}

/// The account of a tenant in a range of minutes.
pub(crate) fn ledger(
    books: &dyn SeriesAudit,
    tenant: &TenantId,
    minutes: Range<Timestamp>,
    by: By,
) -> Result<Ledger> {
    let entries = books.account(Some(tenant.as_str()), minutes)?;
    let reasons = uneven(&entries);
    let mut sums: BTreeMap<(Option<Timestamp>, Option<String>), Amounts> = BTreeMap::new();
    let mut totals = Amounts::default();
    for AccountEntry { key, amounts } in entries {
        let line = match by {
            By::Topic => (None, Some(key.topic)),
            By::Minute => (Some(key.minute), None),
            By::Total => (None, None),
        };
        *sums.entry(line).or_default() += amounts;
        totals += amounts;
    }
    let lines = sums.into_iter().map(|((minute, topic), amounts)| Line { topic, minute, amounts });
    Ok(Ledger { lines: lines.collect(), totals, reasons })
}

/// An equation between the account and something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is compared, for people.
    pub equation: &'static str,
    /// What the account says.
    pub account: i64,
    /// What is there.
    pub found: i64,
}

impl Check {
    /// Whether both are the same.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.account == self.found
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Every equation, with its numbers.
    pub checks: Vec<Check>,
    /// What does not hold, for people, with its numbers; empty when everything balances.
    pub reasons: Vec<String>,
}

impl Verdict {
    /// Whether everything balances.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Compares the account of a tenant with what is there. Lines are looked at one by one in `minutes`; everything
/// else has no time and is compared as a whole.
pub(crate) fn verify(
    books: &dyn SeriesAudit,
    tenant: &TenantId,
    minutes: Range<Timestamp>,
) -> Result<Verdict> {
    let uneven = uneven(&books.account(Some(tenant.as_str()), minutes)?);
    Ok(judge(&books.audit()?, tenant.as_str(), uneven))
}

fn judge(audit: &Audit, tenant: &str, uneven: Vec<String>) -> Verdict {
    let of = |name: &str| audit.tenants.iter().find(|of| of.tenant == name).cloned().unwrap_or_default();
    let (own, unread) = (of(tenant), of(""));
    let mut checks = vec![
        Check {
            equation: "accepted = stored + duplicate + dead-lettered + late + shed",
            account: own.account.accepted,
            found: own.account.accepted - own.account.residue(),
        },
        Check {
            equation: "records of all accounts = offsets that the store has the outcome of",
            account: audit.tenants.iter().map(|tenant| tenant.account.records).sum(),
            found: audit.partitions.iter().map(|part| (part.next - part.first).cast_signed()).sum(),
        },
    ];
    checks.extend(tables(&own));
    checks.push(Check {
        equation: "dead-lettered = dead letters, of records that cannot be read",
        account: unread.account.dead,
        found: unread.dead_letters.cast_signed(),
    });
    let broken = checks.iter().filter(|check| !check.holds());
    let broken = broken.map(|Check { equation, account, found }| {
        format!("{equation}: the account has {account}, there are {found}")
    });
    let reasons = uneven.into_iter().chain(broken).collect();
    Verdict { checks, reasons }
}

fn tables(tenant: &TenantAudit) -> [Check; 4] {
    let (account, removed) = (&tenant.account, &tenant.removed);
    [
        Check {
            equation: "stored + late - corrected = readings in telemetry + removed",
            account: account.stored + account.late - account.corrected,
            found: (tenant.points + removed.readings).cast_signed(),
        },
        Check {
            equation: "corrected = replaced values in corrections + removed",
            account: account.corrected,
            found: (tenant.superseded + removed.superseded).cast_signed(),
        },
        Check {
            equation: "late = values in late + removed",
            account: account.late,
            found: (tenant.late + removed.late).cast_signed(),
        },
        Check {
            equation: "dead-lettered = dead letters in dlq + removed",
            account: account.dead,
            found: (tenant.dead_letters + removed.dead_letters).cast_signed(),
        },
    ]
}

fn uneven(entries: &[AccountEntry]) -> Vec<String> {
    let uneven: Vec<_> = entries.iter().filter(|entry| entry.amounts.residue() != 0).collect();
    let mut reasons: Vec<_> = uneven.iter().take(NAMED_LINES).map(|entry| explain(entry)).collect();
    if uneven.len() > NAMED_LINES {
        reasons.push(format!("and {} lines more do not balance", uneven.len() - NAMED_LINES));
    }
    reasons
}

fn explain(entry: &AccountEntry) -> String {
    let AccountEntry { key, amounts } = entry;
    let Amounts { accepted, stored, duplicate, dead, late, shed, .. } = amounts;
    format!(
        "{} in the minute {}: {accepted} accepted, but {stored} stored + {duplicate} duplicate + {dead} dead-lettered + \
         {late} late + {shed} shed = {}",
        key.topic,
        rfc3339(key.minute),
        accepted - amounts.residue(),
    )
}

#[cfg(test)]
mod tests {
    use series::{Covered, Source};

    use super::*;

    fn even() -> Audit {
        let account = Amounts {
            records: 5,
            accepted: 10,
            stored: 5,
            duplicate: 1,
            dead: 2,
            late: 2,
            corrected: 1,
            ..Amounts::default()
        };
        let own = TenantAudit {
            tenant: "t".into(),
            account,
            points: 6,
            superseded: 1,
            late: 2,
            dead_letters: 2,
            ..TenantAudit::default()
        };
        let account = Amounts { records: 1, accepted: 1, dead: 1, ..Amounts::default() };
        let unread = TenantAudit { account, dead_letters: 1, ..TenantAudit::default() };
        let source = Source { topic: 0, lane: record::Lane::Live, partition: 0 };
        Audit { tenants: vec![unread, own], partitions: vec![Covered { source, first: 4, next: 10 }] }
    }

    #[test]
    fn what_agrees_balances() {
        let verdict = judge(&even(), "t", Vec::new());
        assert!(verdict.balanced(), "{verdict:#?}");
        assert_eq!(verdict.checks.len(), 7);
        assert!(judge(&Audit::default(), "t", Vec::new()).balanced(), "nothing at all balances");
        // Another tenant's tables are not this one's business; its records lie in the same partitions.
        assert!(judge(&even(), "other", Vec::new()).balanced());
    }

    #[test]
    fn what_was_removed_on_purpose_is_part_of_the_balance() {
        let mut audit = even();
        let own = &mut audit.tenants[1];
        own.removed = series::Counts { readings: 6, superseded: 1, late: 2, windows: 9, dead_letters: 2 };
        (own.points, own.superseded, own.late, own.dead_letters) = (0, 0, 0, 0);
        assert!(judge(&audit, "t", Vec::new()).balanced());
        audit.tenants[1].removed.readings = 5;
        assert!(!judge(&audit, "t", Vec::new()).balanced());
    }

    #[test]
    fn each_equation_fails_by_itself_and_says_its_numbers() {
        type Break = fn(&mut Audit);
        let cases: [(Break, &str); 8] = [
            (
                |audit| audit.tenants[1].account.accepted += 1,
                "accepted = stored + duplicate + dead-lettered + late + shed: the account has 11, there are 10",
            ),
            (
                |audit| audit.tenants[0].account.records -= 1,
                "records of all accounts = offsets that the store has the outcome of: the account has 5, there are 6",
            ),
            (
                |audit| audit.partitions[0].next += 1,
                "records of all accounts = offsets that the store has the outcome of: the account has 6, there are 7",
            ),
            (
                |audit| audit.tenants[1].points -= 1,
                "stored + late - corrected = readings in telemetry + removed: the account has 6, there are 5",
            ),
            (
                |audit| audit.tenants[1].superseded += 1,
                "corrected = replaced values in corrections + removed: the account has 1, there are 2",
            ),
            (
                |audit| audit.tenants[1].late += 1,
                "late = values in late + removed: the account has 2, there are 3",
            ),
            (
                |audit| audit.tenants[1].dead_letters = 0,
                "dead-lettered = dead letters in dlq + removed: the account has 2, there are 0",
            ),
            (
                |audit| audit.tenants[0].dead_letters = 3,
                "dead-lettered = dead letters, of records that cannot be read: the account has 1, there are 3",
            ),
        ];
        for (break_it, reason) in cases {
            let mut audit = even();
            break_it(&mut audit);
            let verdict = judge(&audit, "t", Vec::new());
            assert_eq!(verdict.reasons, [reason]);
            assert_eq!(verdict.checks.iter().filter(|check| !check.holds()).count(), 1);
        }
    }
}
