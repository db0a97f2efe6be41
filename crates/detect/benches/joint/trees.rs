//! Half-space trees, to compare with: Tan, Ting and Liu, "Fast Anomaly Detection for Streaming Data", 2011. Written from the paper,
//! with its settings: 25 trees of depth 15, windows of 250.

use fastrand::Rng;

const TREES: usize = 25;
const DEPTH: u32 = 15;
const WINDOW: usize = 250;
/// A node with fewer values of the last window ends the way down: a tenth of the window.
const FEW: u32 = 25;

pub(crate) struct HalfSpaceTrees {
    /// Until the first window is full: the values, for their ranges.
    first: Vec<Vec<f64>>,
    ranges: Vec<(f64, f64)>,
    trees: Vec<Tree>,
    seen: usize,
    rng: Rng,
}

struct Tree {
    /// Of each inner node, in the order of a heap: the metric and where it is cut.
    cuts: Vec<(usize, f64)>,
    /// Values of the last window and of this one, of each node.
    last: Vec<u32>,
    now: Vec<u32>,
}

impl HalfSpaceTrees {
    pub(crate) fn new(metrics: usize, seed: u64) -> Self {
        let ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); metrics];
        Self { first: Vec::new(), ranges, trees: Vec::new(), seen: 0, rng: Rng::with_seed(seed) }
    }

    /// The greater, the fewer values were where this one is; then counts it.
    pub(crate) fn score(&mut self, values: &[f64]) -> f64 {
        if self.trees.is_empty() {
            self.first.push(values.to_vec());
            if self.first.len() == WINDOW {
                self.grow();
            }
            return 0.0;
        }
        let place: Vec<f64> = values
            .iter()
            .zip(&self.ranges)
            .map(|(value, (low, high))| (value - low) / (high - low).max(1e-12))
            .collect();
        let mass: f64 = self.trees.iter_mut().map(|tree| tree.mass(&place)).sum();
        self.seen += 1;
        if self.seen == WINDOW {
            self.seen = 0;
            self.trees.iter_mut().for_each(Tree::turn);
        }
        1.0 - mass.ln_1p() / (TREES as f64 * WINDOW as f64 * f64::from(1u32 << DEPTH)).ln_1p()
    }

    fn grow(&mut self) {
        for value in &self.first {
            for (range, value) in self.ranges.iter_mut().zip(value) {
                *range = (range.0.min(*value), range.1.max(*value));
            }
        }
        let metrics = self.ranges.len();
        for _ in 0..TREES {
            // The work space of the paper: around a random point, twice as far as the farther end.
            let space: Vec<(f64, f64)> = (0..metrics)
                .map(|_| {
                    let middle = self.rng.f64();
                    let reach = 2.0 * middle.max(1.0 - middle);
                    (middle - reach, middle + reach)
                })
                .collect();
            let nodes = (1usize << (DEPTH + 1)) - 1;
            let mut cuts = vec![(0, 0.0); (1 << DEPTH) - 1];
            cut(&mut cuts, 0, space, &mut self.rng);
            self.trees.push(Tree { cuts, last: vec![0; nodes], now: vec![0; nodes] });
        }
        for value in std::mem::take(&mut self.first) {
            self.score(&value);
        }
        self.trees.iter_mut().for_each(Tree::turn);
        self.seen = 0;
    }
}

fn cut(cuts: &mut [(usize, f64)], node: usize, space: Vec<(f64, f64)>, rng: &mut Rng) {
    if node >= cuts.len() {
        return;
    }
    let metric = rng.usize(0..space.len());
    let middle = f64::midpoint(space[metric].0, space[metric].1);
    cuts[node] = (metric, middle);
    let (mut left, mut right) = (space.clone(), space);
    left[metric].1 = middle;
    right[metric].0 = middle;
    cut(cuts, 2 * node + 1, left, rng);
    cut(cuts, 2 * node + 2, right, rng);
}

impl Tree {
    fn mass(&mut self, place: &[f64]) -> f64 {
        let (mut node, mut depth, mut mass) = (0, 0u32, None);
        loop {
            self.now[node] += 1;
            let here = self.last[node];
            if mass.is_none() && (here <= FEW || depth == DEPTH) {
                mass = Some(f64::from(here) * f64::from(1u32 << depth));
            }
            if depth == DEPTH {
                return mass.expect("the last level always has one");
            }
            let (metric, at) = self.cuts[node];
            node = 2 * node + if place[metric] < at { 1 } else { 2 };
            depth += 1;
        }
    }

    fn turn(&mut self) {
        std::mem::swap(&mut self.last, &mut self.now);
        self.now.fill(0);
    }
}
