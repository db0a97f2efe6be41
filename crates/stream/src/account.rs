//! The account of a batch: what came in and where it went, per tenant, kind of topic and minute of arrival.

use std::collections::HashMap;

use record::Timestamp;
use series::{AccountEntry, AccountKey, Amounts};

const MINUTE_NANOS: i64 = 60_000_000_000;

/// Adds up amounts. One message's worth of look-ups is saved by remembering the last line.
#[derive(Debug, Default)]
pub(crate) struct Account {
    lines: Vec<AccountEntry>,
    index: HashMap<AccountKey, usize>,
    last: usize,
}

impl Account {
    /// The line of a message.
    pub(crate) fn line(&mut self, tenant: &str, topic: &str, arrived_at: Timestamp) -> &mut Amounts {
        let minute = minute_of(arrived_at);
        let fits = |key: &AccountKey| key.minute == minute && key.tenant == tenant && key.topic == topic;
        if !self.lines.get(self.last).is_some_and(|line| fits(&line.key)) {
            let key = AccountKey { tenant: tenant.to_owned(), topic: topic.to_owned(), minute };
            self.last = *self.index.entry(key.clone()).or_insert(self.lines.len());
            if self.last == self.lines.len() {
                self.lines.push(AccountEntry { key, amounts: Amounts::default() });
            }
        }
        &mut self.lines[self.last].amounts
    }

    /// The lines, by key. Empties it.
    pub(crate) fn take(&mut self) -> Vec<AccountEntry> {
        self.index.clear();
        self.last = 0;
        let mut lines = std::mem::take(&mut self.lines);
        lines.retain(|line| line.amounts != Amounts::default());
        lines.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        lines
    }
}

/// The start of the minute.
pub(crate) fn minute_of(time: Timestamp) -> Timestamp {
    Timestamp::from_nanos(time.nanos().div_euclid(MINUTE_NANOS).saturating_mul(MINUTE_NANOS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_add_up_per_tenant_topic_and_minute() {
        let mut account = Account::default();
        let minute = |n: i64| Timestamp::from_nanos(n * MINUTE_NANOS);
        for (tenant, topic, at) in [("b", "t", 1), ("a", "t", 1), ("a", "t", 1), ("a", "u", 1), ("a", "t", 2)]
        {
            account.line(tenant, topic, Timestamp::from_nanos(minute(at).nanos() + 7)).accepted += 1;
        }
        account.line("c", "t", minute(3)); // nothing happened there
        let told: Vec<_> = account
            .take()
            .into_iter()
            .map(|line| (line.key.tenant, line.key.topic, line.key.minute, line.amounts.accepted))
            .collect();
        let line = |tenant: &str, topic: &str, at, n| (tenant.to_owned(), topic.to_owned(), minute(at), n);
        assert_eq!(
            told,
            [line("a", "t", 1, 2), line("a", "t", 2, 1), line("a", "u", 1, 1), line("b", "t", 1, 1)]
        );
        assert!(account.take().is_empty());
        assert_eq!(minute_of(Timestamp::from_nanos(-1)), minute(-1));
    }
}
