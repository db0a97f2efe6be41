//! Names that many share: each is kept once, for as long as someone uses it.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

use super::numbers::Numbers;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Kept")]
pub(super) struct Names {
    kept: Kept,
    /// Never walked: its order is by chance.
    #[serde(skip)]
    index: HashTable<u32>,
    #[serde(skip)]
    hasher: DefaultHashBuilder,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    names: Vec<Option<Name>>,
    numbers: Numbers,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Name {
    text: Box<str>,
    uses: u32,
}

impl Names {
    pub(super) fn get(&self, number: u32) -> &str {
        &self.name(number).text
    }

    pub(super) fn find(&self, text: &str) -> Option<u32> {
        let is_it = |&number: &u32| self.get(number) == text;
        self.index.find(self.hasher.hash_one(text), is_it).copied()
    }

    /// The number of `text`, used once more.
    pub(super) fn use_name(&mut self, text: &str) -> u32 {
        if let Some(number) = self.find(text) {
            self.kept.names[number as usize].as_mut().expect("the index holds names in use").uses += 1;
            return number;
        }
        let number = self.kept.numbers.take();
        if self.kept.names.len() <= number as usize {
            self.kept.names.push(None);
        }
        self.kept.names[number as usize] = Some(Name { text: text.into(), uses: 1 });
        self.put_in_index(number);
        number
    }

    /// One use less; the last one frees the number.
    pub(super) fn drop_use(&mut self, number: u32) {
        let place = &mut self.kept.names[number as usize];
        let name = place.as_mut().expect("a name in use is kept");
        name.uses -= 1;
        if name.uses == 0 {
            let hash = self.hasher.hash_one(&*name.text);
            if let Ok(entry) = self.index.find_entry(hash, |&other| other == number) {
                entry.remove();
            }
            *place = None;
            self.kept.numbers.give_back(number);
        }
    }

    fn name(&self, number: u32) -> &Name {
        self.kept.names[number as usize].as_ref().expect("a number is asked for while it is in use")
    }

    fn put_in_index(&mut self, number: u32) {
        let (kept, hasher) = (&self.kept, &self.hasher);
        let hash = |number: &u32| {
            let name = kept.names[*number as usize].as_ref().expect("the index holds names in use");
            hasher.hash_one(&*name.text)
        };
        self.index.insert_unique(hash(&number), number, hash);
    }
}

impl From<Kept> for Names {
    fn from(kept: Kept) -> Self {
        let in_use: Vec<u32> =
            (0..).zip(&kept.names).filter(|(_, name)| name.is_some()).map(|(number, _)| number).collect();
        let mut names = Self { kept, ..Self::default() };
        in_use.into_iter().for_each(|number| names.put_in_index(number));
        names
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        self.kept == other.kept
    }
}
