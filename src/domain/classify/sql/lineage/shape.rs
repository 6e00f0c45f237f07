//! What a relation's columns are made of. Knows names and sources, no syntax.

use std::{collections::HashMap, rc::Rc};

use super::names::{Column, Name};

/// Columns a value may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sources {
    /// May hold duplicates until [`Sources::settle`].
    pub(super) columns: Vec<Column>,
    /// Something not understood went into it: it may hold anything.
    pub(super) unproven: bool,
}

impl Sources {
    pub(super) fn unproven() -> Self {
        Self {
            columns: Vec::new(),
            unproven: true,
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        self.columns.is_empty() && !self.unproven
    }

    pub(super) fn settle(mut self) -> Rc<Self> {
        self.columns.sort_unstable();
        self.columns.dedup();
        Rc::new(self)
    }
}

/// One entry of a relation's column list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Exactly one column.
    Column {
        /// `None`: it has a name, but only the server knows which.
        name: Option<Name>,
        sources: Rc<Sources>,
        /// Its value is that of one of its sources.
        unchanged: bool,
    },
    /// Columns of base relations, unchanged, under their own names; how many is the server's to know.
    Star {
        relations: Rc<[Name]>,
        /// All columns of the one relation, in its order.
        whole: bool,
    },
    /// Any number of columns with any names, each from any of these.
    Blur(Rc<Sources>),
}

impl Item {
    /// `relation.*`.
    pub(super) fn whole(relation: Name) -> Self {
        Self::Star {
            relations: [relation].into(),
            whole: true,
        }
    }

    /// The same, with some of a star's columns gone.
    pub(super) fn partly(self) -> Self {
        match self {
            Self::Star { relations, .. } => Self::Star {
                relations,
                whole: false,
            },
            other => other,
        }
    }
}

/// A relation as the rest of the statement sees it.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) items: Vec<Item>,
    /// What decides which rows there are.
    pub(super) rows: Rc<Sources>,
    by_name: HashMap<Name, Vec<u32>>,
    open: Vec<u32>,
    unnamed: Vec<u32>,
    /// Columns that can be named and that no star shows.
    hidden: Vec<Item>,
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items && self.rows == other.rows
    }
}

impl Shape {
    pub(super) fn new(items: Vec<Item>, rows: Rc<Sources>) -> Self {
        let mut by_name: HashMap<Name, Vec<u32>> = HashMap::new();
        let mut open = Vec::new();
        let mut unnamed = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let index = index as u32;
            match item {
                Item::Column {
                    name: Some(name), ..
                } => by_name.entry(*name).or_default().push(index),
                Item::Column { name: None, .. } => unnamed.push(index),
                Item::Star { .. } | Item::Blur(_) => open.push(index),
            }
        }
        Self {
            items,
            rows,
            by_name,
            open,
            unnamed,
            hidden: Vec::new(),
        }
    }

    pub(super) fn with_hidden(items: Vec<Item>, rows: Rc<Sources>, hidden: Vec<Item>) -> Self {
        Self {
            hidden,
            ..Self::new(items, rows)
        }
    }

    pub(super) fn base(relation: Name) -> Self {
        Self::new(vec![Item::whole(relation)], Rc::default())
    }

    /// Nothing is known of it.
    pub(super) fn unproven() -> Self {
        let doubt = Rc::new(Sources::unproven());
        Self::new(vec![Item::Blur(doubt.clone())], doubt)
    }

    /// Items surely of this name.
    pub(super) fn named(&self, name: Name) -> impl Iterator<Item = &Item> {
        self.by_name
            .get(&name)
            .into_iter()
            .flatten()
            .map(|index| &self.items[*index as usize])
            .chain(self.hidden.iter().filter(
                move |item| matches!(item, Item::Column { name: Some(own), .. } if *own == name),
            ))
    }

    /// Stars and blurs: they may hold a column of any name.
    pub(super) fn open(&self) -> impl Iterator<Item = &Item> {
        self.open.iter().map(|index| &self.items[*index as usize])
    }

    /// Columns whose name only the server knows.
    pub(super) fn unnamed(&self) -> impl Iterator<Item = &Item> {
        self.unnamed
            .iter()
            .map(|index| &self.items[*index as usize])
    }

    /// How many entries, and how many of them could answer to any name.
    pub(super) fn open_count(&self) -> usize {
        self.open.len() + self.unnamed.len()
    }
}

/// Whether every entry is exactly one column.
pub(super) fn is_closed(items: &[Item]) -> bool {
    items.iter().all(|item| matches!(item, Item::Column { .. }))
}
