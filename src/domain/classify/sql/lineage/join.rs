//! Joins: which columns they merge, and what `*` over them stands for.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use sqlparser::ast::{Join, JoinConstraint, JoinOperator};

use super::{
    Walk,
    from::{Reading, Sees},
    names::Name,
    scope::Place,
    shape::{Item, Shape, Sources},
};
use crate::domain::classify::Dialect;

impl<'a> Walk<'a> {
    pub(super) fn join_to(
        &mut self,
        mut left: Vec<Item>,
        join: &'a Join,
        place: &Place<'a>,
        reading: &mut Reading<'a>,
    ) -> Vec<Item> {
        let (constraint, kind, sees) = match &join.join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::CrossJoin(constraint)
            | JoinOperator::StraightJoin(constraint) => (constraint, Keeps::Left, Sees::Around),
            JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint) => (constraint, Keeps::Right, Sees::Around),
            JoinOperator::CrossApply | JoinOperator::OuterApply => {
                (&JoinConstraint::None, Keeps::Left, Sees::Left)
            }
            JoinOperator::Semi(constraint)
            | JoinOperator::LeftSemi(constraint)
            | JoinOperator::RightSemi(constraint)
            | JoinOperator::Anti(constraint)
            | JoinOperator::LeftAnti(constraint)
            | JoinOperator::RightAnti(constraint)
            | JoinOperator::AsOf { constraint, .. } => (constraint, Keeps::Unknown, Sees::Left),
            JoinOperator::ArrayJoin
            | JoinOperator::LeftArrayJoin
            | JoinOperator::InnerArrayJoin => (&JoinConstraint::None, Keeps::Unknown, Sees::Left),
        };
        let right = self.factor(&join.relation, place, reading, sees);
        if kind == Keeps::Unknown {
            self.doubt_predicates();
            left.push(Item::Blur(Rc::new(Sources::unproven())));
        }
        match constraint {
            JoinConstraint::None => {
                left.extend(right);
                left
            }
            JoinConstraint::On(condition) => {
                reading.conditions.push(condition);
                left.extend(right);
                left
            }
            JoinConstraint::Using(columns) => {
                let names: Option<Vec<Name>> = columns
                    .iter()
                    .map(|column| self.names.bare_column(column))
                    .collect();
                match names {
                    Some(names) => self.merged(left, right, &names, kind, reading),
                    None => {
                        self.doubt_predicates();
                        vec![Item::Blur(Rc::new(Sources::unproven()))]
                    }
                }
            }
            JoinConstraint::Natural => self.natural(left, right, kind, reading),
        }
    }

    /// A join that merges the columns called `names`.
    fn merged(
        &mut self,
        left: Vec<Item>,
        right: Vec<Item>,
        names: &[Name],
        kind: Keeps,
        reading: &mut Reading<'a>,
    ) -> Vec<Item> {
        let left_shape = Shape::new(left, Rc::default());
        let right_shape = Shape::new(right, Rc::default());
        let mut merged = Vec::with_capacity(names.len());
        for name in names {
            reading.bindings.merged.insert(*name);
            let (mut sources, left_unchanged) = self.column_of(&left_shape, *name);
            let (other, right_unchanged) = self.column_of(&right_shape, *name);
            self.join(&mut sources, &other);
            self.decide(&sources, &mut reading.rows);
            merged.push(Item::Column {
                name: Some(*name),
                sources: sources.settle(),
                unchanged: left_unchanged && right_unchanged,
            });
        }
        // A column with a name unknown here could be one that is merged away.
        let unsure = |items: &[Item]| {
            items
                .iter()
                .any(|item| matches!(item, Item::Column { name: None, .. } | Item::Blur(_)))
        };
        let (left, right) = (left_shape.items, right_shape.items);
        let stars = left.iter().any(|item| matches!(item, Item::Star { .. }));
        let hidden = kind != Keeps::Left
            && match self.dialect {
                // The merged column stands where it does on the left; in a star that is the left one's value alone.
                Dialect::Sqlite => stars,
                // The right side's columns come first.
                Dialect::Mysql | Dialect::Mssql => true,
                Dialect::Postgres => false,
            };
        if hidden || unsure(&left) || unsure(&right) {
            let mut everything = Sources::default();
            self.all_of(&left, &mut everything);
            self.all_of(&right, &mut everything);
            return vec![Item::Blur(everything.settle())];
        }
        self.spend(left.len() + right.len());
        let places: HashMap<Name, usize> = names
            .iter()
            .enumerate()
            .map(|(index, name)| (*name, index))
            .collect();
        let place_of = |item: &Item| match item {
            Item::Column {
                name: Some(name), ..
            } => places.get(name).copied(),
            _ => None,
        };
        let mut star: Vec<Item> = Vec::with_capacity(left.len() + right.len());
        match self.dialect {
            Dialect::Postgres | Dialect::Mysql | Dialect::Mssql => {
                let rest = left.into_iter().filter(|item| place_of(item).is_none());
                star.extend(merged.into_iter().chain(rest.map(Item::partly)));
            }
            Dialect::Sqlite => star.extend(left.into_iter().map(|item| match place_of(&item) {
                Some(index) => merged[index].clone(),
                None => item,
            })),
        }
        for item in right {
            if place_of(&item).is_some() {
                continue;
            }
            match (star.last_mut(), item.partly()) {
                // One star of unknown width beside another would hide where each ends.
                (
                    Some(Item::Star {
                        relations: known,
                        whole: false,
                    }),
                    Item::Star { relations, .. },
                ) => *known = known.iter().chain(relations.iter()).copied().collect(),
                (_, item) => star.push(item),
            }
        }
        star
    }

    fn natural(
        &mut self,
        left: Vec<Item>,
        right: Vec<Item>,
        kind: Keeps,
        reading: &mut Reading<'a>,
    ) -> Vec<Item> {
        let names = |items: &[Item]| -> Option<Vec<Name>> {
            items
                .iter()
                .map(|item| match item {
                    Item::Column { name, .. } => *name,
                    Item::Star { .. } | Item::Blur(_) => None,
                })
                .collect()
        };
        if let (Some(left_names), Some(right_names)) = (names(&left), names(&right)) {
            let right_names: HashSet<Name> = right_names.into_iter().collect();
            let mut common: Vec<Name> = Vec::new();
            let mut met = HashSet::new();
            for name in left_names {
                if right_names.contains(&name) && met.insert(name) {
                    common.push(name);
                }
            }
            return self.merged(left, right, &common, kind, reading);
        }
        // Which columns the two have in common is the server's to know.
        reading.bindings.natural = true;
        let mut everything = Sources::default();
        self.all_of(&left, &mut everything);
        self.all_of(&right, &mut everything);
        self.decide(&everything, &mut reading.rows);
        let mut relations = Vec::new();
        for item in left.iter().chain(&right) {
            match item {
                Item::Star {
                    relations: stars, ..
                } => relations.extend(stars.iter().copied()),
                Item::Column { .. } | Item::Blur(_) => {
                    return vec![Item::Blur(everything.settle())];
                }
            }
        }
        vec![Item::Star {
            relations: relations.into(),
            whole: false,
        }]
    }

    /// The column of `shape` called `name`.
    fn column_of(&mut self, shape: &Shape, name: Name) -> (Sources, bool) {
        let mut sources = Sources::default();
        let mut unchanged = true;
        let mut sure = false;
        for item in shape.named(name) {
            sure = true;
            if let Item::Column {
                unchanged: false, ..
            } = item
            {
                unchanged = false;
            }
            self.all_of(std::slice::from_ref(item), &mut sources);
        }
        // SQLite takes the leftmost column of that name, wherever it is.
        if !sure || self.dialect == Dialect::Sqlite {
            for item in shape.open().chain(shape.unnamed()) {
                match item {
                    Item::Star { relations, .. } => {
                        self.spend(relations.len());
                        for relation in relations.iter() {
                            let column = self.names.column(Some(*relation), name);
                            sources.columns.push(column);
                        }
                    }
                    item => {
                        unchanged = false;
                        self.all_of(std::slice::from_ref(item), &mut sources);
                    }
                }
            }
        }
        (sources, unchanged)
    }
}

/// Whose value a merged column shows where there is only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    Left,
    Right,
    Unknown,
}
