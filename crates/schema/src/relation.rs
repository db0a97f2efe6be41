//! "Every value that the writer's type can hold, the reader's type can read", for types that may refer to each other.
//!
//! Each language says what a pair of types *needs*; here is decided whether it gets it: the greatest relation in which
//! every pair's needs hold, so that a type that contains itself is compared with another of that kind.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

use crate::error::Incompatibility;
use crate::limits;

/// What must hold for a pair (reader, writer).
pub(crate) enum Need<N> {
    /// This pair, too.
    Pair { at: String, pair: (N, N) },
    /// At least one of these pairs; else the rule is broken.
    Any { at: String, pairs: Vec<(N, N)>, rule: &'static str, detail: String },
    /// It never holds.
    Never { at: String, rule: &'static str, detail: String },
}

impl<N> Need<N> {
    pub(crate) fn never(at: impl Into<String>, rule: &'static str, detail: impl Into<String>) -> Self {
        Self::Never { at: at.into(), rule, detail: detail.into() }
    }

    fn pairs(&self) -> &[(N, N)] {
        match self {
            Self::Pair { pair, .. } => std::slice::from_ref(pair),
            Self::Any { pairs, .. } => pairs,
            Self::Never { .. } => &[],
        }
    }
}

/// What stands in the way of `root`; empty when nothing does.
pub(crate) fn broken<N: Copy + Eq + Hash>(
    root: (N, N),
    needs_of: impl Fn(N, N) -> Vec<Need<N>>,
) -> Vec<Incompatibility> {
    let mut table: HashMap<(N, N), Vec<Need<N>>> = HashMap::new();
    let mut asked_by: HashMap<(N, N), Vec<(N, N)>> = HashMap::new();
    let mut to_ask = vec![root];
    while let Some(pair) = to_ask.pop() {
        if table.contains_key(&pair) {
            continue;
        }
        if table.len() >= limits::COMPARED_PAIRS {
            return vec![Incompatibility {
                rule: "TOO_LARGE_TO_COMPARE",
                path: "/".into(),
                detail: format!("more than {} pairs of types", limits::COMPARED_PAIRS),
            }];
        }
        let needs = needs_of(pair.0, pair.1);
        for &below in needs.iter().flat_map(Need::pairs) {
            asked_by.entry(below).or_default().push(pair);
            to_ask.push(below);
        }
        table.insert(pair, needs);
    }
    let failed = failed(&table, &asked_by);
    report(root, &table, &failed)
}

fn failed<N: Copy + Eq + Hash>(
    table: &HashMap<(N, N), Vec<Need<N>>>,
    asked_by: &HashMap<(N, N), Vec<(N, N)>>,
) -> HashSet<(N, N)> {
    let mut failed = HashSet::new();
    let mut to_judge: VecDeque<(N, N)> = table.keys().copied().collect();
    while let Some(pair) = to_judge.pop_front() {
        if failed.contains(&pair) || table[&pair].iter().all(|need| holds(need, &failed)) {
            continue;
        }
        failed.insert(pair);
        to_judge.extend(asked_by.get(&pair).into_iter().flatten());
    }
    failed
}

fn holds<N: Copy + Eq + Hash>(need: &Need<N>, failed: &HashSet<(N, N)>) -> bool {
    match need {
        Need::Pair { pair, .. } => !failed.contains(pair),
        Need::Any { pairs, .. } => pairs.iter().any(|pair| !failed.contains(pair)),
        Need::Never { .. } => false,
    }
}

/// Each failed pair once, by the way it was first reached.
fn report<N: Copy + Eq + Hash>(
    root: (N, N),
    table: &HashMap<(N, N), Vec<Need<N>>>,
    failed: &HashSet<(N, N)>,
) -> Vec<Incompatibility> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut to_tell = vec![(root, String::new())];
    while let Some((pair, path)) = to_tell.pop() {
        if !failed.contains(&pair) || !seen.insert(pair) {
            continue;
        }
        let mut below = Vec::new();
        for need in table[&pair].iter().filter(|need| !holds(need, failed)) {
            match need {
                Need::Pair { at, pair } => below.push((*pair, format!("{path}{at}"))),
                Need::Any { at, rule, detail, .. } | Need::Never { at, rule, detail } => {
                    if found.len() == limits::DIFFERENCES {
                        return found;
                    }
                    let path =
                        if path.is_empty() && at.is_empty() { "/".into() } else { format!("{path}{at}") };
                    found.push(Incompatibility { rule, path, detail: detail.clone() });
                }
            }
        }
        to_tell.extend(below.into_iter().rev());
    }
    found
}
