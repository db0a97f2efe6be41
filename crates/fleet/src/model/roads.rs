//! A road network: towns, roads between them that wind, and routes along them.

use std::f64::consts::PI;

use crate::random::{Random, mix};

/// Towns: degrees of latitude and longitude.
const TOWNS: [(f64, f64); 20] = [
    (53.551, 9.994),  // 0 Hamburg
    (53.079, 8.802),  // 1 Bremen
    (52.376, 9.732),  // 2 Hannover
    (52.520, 13.405), // 3 Berlin
    (52.131, 11.640), // 4 Magdeburg
    (51.340, 12.375), // 5 Leipzig
    (51.050, 13.737), // 6 Dresden
    (51.312, 9.480),  // 7 Kassel
    (51.514, 7.466),  // 8 Dortmund
    (50.938, 6.960),  // 9 Köln
    (50.110, 8.682),  // 10 Frankfurt
    (49.791, 9.953),  // 11 Würzburg
    (49.454, 11.077), // 12 Nürnberg
    (48.135, 11.582), // 13 München
    (48.776, 9.183),  // 14 Stuttgart
    (49.010, 8.404),  // 15 Karlsruhe
    (47.558, 7.588),  // 16 Basel
    (50.985, 11.030), // 17 Erfurt
    (52.268, 8.052),  // 18 Osnabrück
    (48.401, 9.988),  // 19 Ulm
];

/// Roads between towns.
const ROADS: [(u8, u8); 30] = [
    (0, 1),
    (0, 2),
    (0, 3),
    (1, 2),
    (1, 18),
    (2, 4),
    (2, 7),
    (2, 18),
    (4, 3),
    (4, 5),
    (3, 5),
    (3, 6),
    (5, 6),
    (5, 17),
    (5, 12),
    (7, 8),
    (7, 10),
    (7, 11),
    (7, 17),
    (8, 9),
    (8, 18),
    (9, 10),
    (10, 11),
    (10, 15),
    (11, 12),
    (12, 13),
    (13, 19),
    (19, 14),
    (14, 15),
    (15, 16),
];

/// Pieces of a road. About 10 km each: what a map of a country shows.
const PIECES: usize = 20;
/// Roads that a vehicle takes before it turns round.
pub(super) const LEGS: usize = 6;
const EARTH_KM: f64 = 6_371.0;

/// Where something is on a road.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// Degrees.
    pub(super) lat: f64,
    /// Degrees.
    pub(super) lng: f64,
    /// Where it looks: degrees from north over east.
    pub(super) heading: f64,
}

#[derive(Debug)]
struct Road {
    points: [(f64, f64); PIECES + 1],
    /// Kilometres from the beginning to each point.
    upto_km: [f64; PIECES + 1],
}

/// The network. It is the same for every fleet.
#[derive(Debug)]
pub(super) struct Roads(Vec<Road>);

/// A way along roads, and back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Route {
    /// Which road, and whether from its first town to its second.
    legs: [(u8, bool); LEGS],
    /// Kilometres to the beginning of each leg, and to the end of the last.
    upto_km: [f64; LEGS + 1],
}

impl Default for Roads {
    fn default() -> Self {
        Self(ROADS.iter().enumerate().map(|(number, ends)| Road::new(number as u64, *ends)).collect())
    }
}

impl Roads {
    /// Some way from some town, without turning on the spot.
    pub(super) fn route(&self, own: u64) -> Route {
        let mut random = Random::new(mix(own));
        let mut pick = |count: usize| (random.unit() * count as f64) as usize;
        let mut town = pick(TOWNS.len()) as u8;
        let (mut legs, mut upto_km) = ([(0, true); LEGS], [0.0; LEGS + 1]);
        let mut before = usize::MAX;
        for leg in 0..LEGS {
            let leaving = |road: &usize| ROADS[*road].0 == town || ROADS[*road].1 == town;
            let on: Vec<usize> = (0..ROADS.len()).filter(leaving).filter(|road| *road != before).collect();
            // A town at the end of its only road: back on it.
            let road = if on.is_empty() { before } else { on[pick(on.len())] };
            let forward = ROADS[road].0 == town;
            town = if forward { ROADS[road].1 } else { ROADS[road].0 };
            legs[leg] = (road as u8, forward);
            upto_km[leg + 1] = upto_km[leg] + self.0[road].length_km();
            before = road;
        }
        Route { legs, upto_km }
    }

    /// Where one is after `km` along a route, there and back again and again.
    pub(super) fn place(&self, route: &Route, km: f64) -> Place {
        let length_km = route.upto_km[LEGS];
        let turn = km.rem_euclid(2.0 * length_km);
        let (way_km, back) = if turn > length_km { (2.0 * length_km - turn, true) } else { (turn, false) };
        let leg = route.upto_km[1..LEGS].partition_point(|upto| *upto <= way_km);
        let (road, forward) = route.legs[leg];
        let road = &self.0[usize::from(road)];
        let along_km = way_km - route.upto_km[leg];
        let along_km = if forward { along_km } else { road.length_km() - along_km };
        road.place(along_km, forward != back)
    }
}

impl Road {
    /// A line between two towns that winds: four waves across it, fixed by the road's number, none at the ends.
    fn new(number: u64, (from, to): (u8, u8)) -> Self {
        let (from, to) = (TOWNS[usize::from(from)], TOWNS[usize::from(to)]);
        let mut random = Random::new(mix(number));
        let waves: Vec<f64> = (1..=4).map(|n| (random.unit() - 0.5) * 0.12 / f64::from(n)).collect();
        let (north, east) = (to.0 - from.0, to.1 - from.1);
        let (mut points, mut upto_km) = ([from; PIECES + 1], [0.0; PIECES + 1]);
        for piece in 1..=PIECES {
            let x = piece as f64 / PIECES as f64;
            let aside: f64 = (1..).zip(&waves).map(|(n, size)| size * (f64::from(n) * PI * x).sin()).sum();
            points[piece] =
                (from.0 + north * x + east * aside * 0.6, from.1 + east * x - north * aside * 1.6);
            upto_km[piece] = upto_km[piece - 1] + distance_km(points[piece - 1], points[piece]);
        }
        Self { points, upto_km }
    }

    fn length_km(&self) -> f64 {
        self.upto_km[PIECES]
    }

    fn place(&self, km: f64, forward: bool) -> Place {
        let piece = self.upto_km[1..PIECES].partition_point(|upto| *upto <= km);
        let (a, b) = (self.points[piece], self.points[piece + 1]);
        let x = (km - self.upto_km[piece]) / (self.upto_km[piece + 1] - self.upto_km[piece]);
        let ahead = bearing(a, b);
        Place {
            lat: a.0 + (b.0 - a.0) * x,
            lng: a.1 + (b.1 - a.1) * x,
            heading: if forward { ahead } else { (ahead + 180.0).rem_euclid(360.0) },
        }
    }
}

/// East and north from `a` to `b`, in degrees of latitude; good to a thousandth over some kilometres.
fn apart(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let shrink = ((a.0 + b.0) / 2.0).to_radians().cos();
    ((b.1 - a.1) * shrink, b.0 - a.0)
}

fn distance_km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (east, north) = apart(a, b);
    east.hypot(north).to_radians() * EARTH_KM
}

fn bearing(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (east, north) = apart(a, b);
    east.atan2(north).to_degrees().rem_euclid(360.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_along_a_route_is_as_long_as_it_says_and_has_no_jump() {
        let roads = Roads::default();
        for own in 0..50 {
            let route = roads.route(own);
            assert_eq!(route, roads.route(own));
            let mut last = roads.place(&route, 0.0);
            for step in 1..4_000 {
                let here = roads.place(&route, f64::from(step));
                let gone = distance_km((last.lat, last.lng), (here.lat, here.lng));
                // A bend is cut short; nothing is longer than what was driven.
                assert!(gone < 1.01, "route {own} at {step} km: {gone} km");
                last = here;
            }
        }
    }

    #[test]
    fn headings_point_where_the_next_place_is() {
        let roads = Roads::default();
        let route = roads.route(3);
        let mut seen = 0;
        for step in 0..2_000 {
            let (here, next) =
                (roads.place(&route, f64::from(step)), roads.place(&route, f64::from(step) + 0.01));
            let to = bearing((here.lat, here.lng), (next.lat, next.lng));
            let off = (to - here.heading + 180.0).rem_euclid(360.0) - 180.0;
            seen += u32::from(off.abs() < 0.5);
        }
        // All but the steps that have a bend in them.
        assert!(seen > 1_950, "{seen}");
    }
}
