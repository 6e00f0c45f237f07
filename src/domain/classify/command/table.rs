//! What the commands of a program do, as data: lines of `class words: options`.

use std::{collections::HashMap, sync::LazyLock};

use super::{Word, options::Takes};
use crate::domain::classify::Effect;

/// One command of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    /// Its words, as the table has them.
    pub(super) name: &'static str,
    /// What it does when it is called with nothing but options of its table.
    pub(super) effect: Effect,
    /// The options it is known to take.
    pub(super) takes: Takes,
}

/// Commands by name.
pub(super) struct Table {
    commands: HashMap<&'static str, Command>,
    /// Options that every command takes.
    pub(super) global: Takes,
    longest: usize,
}

/// The Azure CLI's.
pub(super) static AZ: LazyLock<Table> = LazyLock::new(|| Table::read(include_str!("data/az.txt")));
/// kubectl's.
pub(super) static KUBECTL: LazyLock<Table> =
    LazyLock::new(|| Table::read(include_str!("data/kubectl.txt")));
/// Every other program's, the program being the first word.
pub(super) static TOOLS: LazyLock<Table> =
    LazyLock::new(|| Table::read(include_str!("data/tools.txt")));

impl Table {
    fn read(text: &'static str) -> Self {
        let mut table = Self {
            commands: HashMap::new(),
            global: Takes(""),
            longest: 0,
        };
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            // A name may be a colon.
            let (head, options) = line
                .split_once(": ")
                .unwrap_or((line.strip_suffix(':').unwrap_or(line), ""));
            let (class, names) = head.split_once(' ').unwrap_or((head, ""));
            if class == "global" {
                table.global = Takes(options);
                continue;
            }
            // A class that is none would be a slip in the data; its commands are then unknown.
            let effect = Effect::ALL
                .into_iter()
                .find(|effect| effect.as_str() == class)
                .unwrap_or(Effect::Unknown);
            for name in names.split('|') {
                table.longest = table.longest.max(name.split(' ').count());
                table.commands.insert(
                    name,
                    Command {
                        name,
                        effect,
                        takes: Takes(options),
                    },
                );
            }
        }
        table
    }

    /// The command that the most of the first `words` name, and how many those are.
    pub(super) fn longest(&self, words: &[Word]) -> Option<(Command, usize)> {
        let literal = words.iter().take_while(|word| word.is_literal()).count();
        let most = literal.min(self.longest);
        let mut name = String::with_capacity(64);
        let mut ends = Vec::with_capacity(most);
        for word in &words[..most] {
            if !name.is_empty() {
                name.push(' ');
            }
            name.push_str(&word.text);
            ends.push(name.len());
        }
        ends.iter().enumerate().rev().find_map(|(at, end)| {
            let command = self.commands.get(&name[..*end])?;
            Some((*command, at + 1))
        })
    }

    /// Whether `words`, joined, begin the name of some command.
    pub(super) fn has_group(&self, words: &str) -> bool {
        words.is_empty()
            || self.commands.keys().any(|name| {
                name.strip_prefix(words)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_tables_is_read() {
        for (name, text, table) in [
            ("az", include_str!("data/az.txt"), &*AZ),
            ("kubectl", include_str!("data/kubectl.txt"), &*KUBECTL),
            ("tools", include_str!("data/tools.txt"), &*TOOLS),
        ] {
            let classes: Vec<&str> = Effect::ALL.iter().map(|effect| effect.as_str()).collect();
            let mut names = 0;
            for line in text
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
            {
                let (class, rest) = line.split_once(' ').unwrap();
                let is_class = classes.contains(&class) || class == "global";
                assert!(is_class && rest.contains(':'), "{name}: {line}");
                if class != "global" {
                    let list = rest.split_once(": ").map_or(rest, |(list, _)| list);
                    names += list.split('|').count();
                }
            }
            assert_eq!(names, table.commands.len(), "{name} names a command twice");
        }
        assert_eq!(AZ.commands.len(), 6105);
    }
}
