//! The serialised form of the windows.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::cell::Cell;
use super::page::{APART, Body, MOST_PLANES, Page, SERIES, ones};
use super::pane::Leaf;
use super::plan::Plan;
use super::windows::{State, Windows};

/// What [`Windows`] reads back from its serialised form, for [`Windows::restore`].
#[derive(Clone, Debug, Deserialize)]
pub struct Held {
    plan: Plan,
    state: State,
}

/// Why windows cannot go on from what was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The state is of other windows than the plan's.
    #[error(
        "the held state is of other windows than the plan's: begin anew, and distrust the time up to now"
    )]
    OtherPlan,
}

impl Windows {
    /// Goes on from a serialised state as if there had been no break.
    ///
    /// # Errors
    /// [`RestoreError::OtherPlan`].
    pub fn restore(
        plan: Arc<Plan>,
        allowed_lateness: i64,
        memory: usize,
        held: Held,
    ) -> Result<Self, RestoreError> {
        if held.plan == *plan {
            Ok(Self::with(plan, allowed_lateness, memory, held.state))
        } else {
            Err(RestoreError::OtherPlan)
        }
    }
}

impl Serialize for Windows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Holding<'a> {
            plan: &'a Plan,
            state: &'a State,
        }
        Holding { plan: &self.plan, state: &self.state }.serialize(serializer)
    }
}

/// A page in which something is noted.
#[derive(Serialize, Deserialize)]
struct HeldPage {
    /// Which one of its leaf.
    at: u8,
    occupied: u64,
    spoiled: u64,
    body: Option<HeldBody>,
}

/// The readings of a page, without the room between them.
#[derive(Serialize, Deserialize)]
struct HeldBody {
    planes: u8,
    /// The earliest time; the others are told by their distance from it, which is short.
    base: i64,
    /// Of each series with values in the planes, by rising number.
    series: Vec<HeldSeries>,
    /// Their values, one series after the other.
    values: Vec<f64>,
    apart: Vec<(u8, Cell)>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct HeldSeries {
    at: u8,
    count: u8,
    first_at: u8,
    last_at: u8,
    first: u64,
    last: u64,
}

impl Serialize for Leaf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let noted: Vec<HeldPage> = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, page)| !page.is_bare())
            .map(|(at, page)| HeldPage::of(at, page))
            .collect();
        noted.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Leaf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut leaf = Self::new();
        for held in Vec::<HeldPage>::deserialize(deserializer)? {
            let page =
                leaf.0.get_mut(usize::from(held.at)).ok_or_else(|| D::Error::custom("no such page"))?;
            *page = held.into_page().ok_or_else(|| D::Error::custom("a page does not fit together"))?;
        }
        Ok(leaf)
    }
}

impl HeldPage {
    fn of(at: usize, page: &Page) -> Self {
        let body = page.body.as_deref().map(|body| HeldBody::of(body, page.occupied));
        Self { at: at as u8, occupied: page.occupied, spoiled: page.spoiled, body }
    }

    fn into_page(self) -> Option<Page> {
        let body = match self.body {
            Some(body) => Some(body.into_body(self.occupied, self.spoiled)?),
            None => None,
        };
        Some(Page { occupied: self.occupied, spoiled: self.spoiled, body })
    }
}

impl HeldBody {
    fn of(body: &Body, occupied: u64) -> Self {
        let in_planes = || ones(occupied).filter(|&at| body.count[at] != APART);
        let base = in_planes().map(|at| body.first[at]).min().unwrap_or(0);
        let series = in_planes().map(|at| HeldSeries {
            at: at as u8,
            count: body.count[at],
            first_at: body.first_at[at],
            last_at: body.last_at[at],
            first: body.first[at].abs_diff(base),
            last: body.last[at].abs_diff(base),
        });
        let values = in_planes()
            .flat_map(|at| body.planes[..usize::from(body.count[at])].iter().map(move |plane| plane[at]));
        Self {
            planes: body.planes.len() as u8,
            base,
            series: series.collect(),
            values: values.collect(),
            apart: body.apart.clone(),
        }
    }

    /// `None` when it is not what [`HeldBody::of`] makes.
    fn into_body(self, occupied: u64, spoiled: u64) -> Option<Box<Body>> {
        let planes = usize::from(self.planes);
        let mut body = Body::new(spoiled);
        let rising = self.apart.is_sorted_by(|(before, _), (after, _)| before < after);
        if planes > MOST_PLANES || !rising || self.apart.iter().any(|&(at, _)| usize::from(at) >= SERIES) {
            return None;
        }
        body.planes = (0..planes).map(|_| Box::new([0.0; SERIES])).collect();
        let mut values = self.values.into_iter();
        let mut seen = spoiled;
        for held in self.series {
            let (at, count) = (usize::from(held.at), held.count);
            let fits =
                at < SERIES && usize::from(count) <= planes && held.first_at < count && held.last_at < count;
            if !fits || seen >> at & 1 == 1 {
                return None;
            }
            seen |= 1 << at;
            for plane in &mut body.planes[..usize::from(count)] {
                plane[at] = values.next()?;
            }
            body.count[at] = count;
            (body.first_at[at], body.last_at[at]) = (held.first_at, held.last_at);
            body.first[at] = self.base.checked_add_unsigned(held.first)?;
            body.last[at] = self.base.checked_add_unsigned(held.last)?;
            body.full += u8::from(usize::from(count) == planes);
        }
        for &(at, _) in &self.apart {
            seen |= 1 << at;
            body.is_apart |= 1 << at;
            body.count[usize::from(at)] = APART;
        }
        body.apart = self.apart;
        (seen == occupied | spoiled && values.next().is_none()).then_some(body)
    }
}
