//! Calls: what a function that is called would do, as far as its name tells.

use super::{
    super::Effect,
    Dialect,
    findings::Called,
    functions::{self, Call},
    lex::Kind,
    parser::{Name, Parser, Walk},
    words,
};

impl Parser<'_> {
    pub(super) fn unknown_call(&mut self, name: &str) {
        if self.only_known_calls {
            return;
        }
        self.found.unbounded = true;
        self.found.runs_unjudged = true;
        self.found.effect_at_planning(
            Effect::Write,
            format!("it calls {name}, which is no built-in function known to be harmless; it could do anything"),
        );
    }

    /// A call of something that users may have made.
    pub(super) fn users_call(&mut self, name: &Name, builtin: bool) {
        if self.only_known_calls {
            return;
        }
        if let Some(catalog) = self.place.catalog {
            if !builtin || catalog.has_routine(name.last()) {
                self.found.uses.calls.insert(Called {
                    name: name.clone(),
                    builtin,
                    field_of: None,
                });
            }
        } else if !builtin && self.place.vouches_for(&name.dotted()) {
            // That it only reads is vouched for, not what.
            self.found.runs_unjudged = true;
        } else if !builtin {
            self.unknown_call(&name.dotted());
        }
    }

    /// A call of `name`, whose arguments follow. `start` is where the name stands.
    pub(super) fn call(&mut self, name: &Name, start: usize) -> Walk {
        let dotted = name.dotted();
        let last = name.last().to_owned();
        let qualified = name.0.len() > 1;
        let system = match self.dialect {
            Dialect::Postgres => !qualified || (name.0.len() == 2 && name.0[0] == "pg_catalog"),
            Dialect::Sqlite => !qualified,
            Dialect::Mysql => !qualified || name.0[0] == "mariadb_schema",
            Dialect::Mssql => {
                !qualified
                    || matches!(
                        name.0[name.0.len() - 2].as_str(),
                        "sys" | "information_schema"
                    )
                    || name.0.len() == 2 && words::is_method(&last)
                    || name.0.len() == 2 && name.0[0] == "$partition"
            }
        };
        let information_schema = self.dialect == Dialect::Postgres
            && qualified
            && name.0[0] == "information_schema"
            && last.starts_with("_pg_");
        if self.dialect == Dialect::Mssql
            && words::is_method(&last)
            && (name.0.len() >= 2 || (start > 0 && self.source(start - 1) == "::"))
        {
            return Ok(());
        }
        let mut verdict = if information_schema {
            Call::Harmless
        } else if system {
            functions::builtin(self.dialect, &last)
        } else {
            // A dangerous built-in's name stays dangerous in any schema: extensions live anywhere.
            match functions::builtin(self.dialect, &last) {
                Call::Harmless => Call::Unlisted,
                Call::Has(effect) if effect < Effect::Destructive => Call::Unlisted,
                other => other,
            }
        };
        if self.dialect == Dialect::Mysql
            && verdict == Call::Harmless
            && !qualified
            && words::needs_its_parenthesis_at_once(&last)
            && self.tokens[self.at].spaced
        {
            // With a blank before the parenthesis these names call a stored function.
            verdict = Call::Unlisted;
        }
        if self.dialect == Dialect::Mysql && self.tokens[start].kind == Kind::Quoted {
            // `count`(x) calls a stored function, as what MySQL's grammar knows by a word is only that word.
            verdict = match verdict {
                Call::Harmless => Call::Unlisted,
                other => other,
            };
        }
        if self.dialect == Dialect::Mysql
            && last == "last_insert_id"
            && self.kind(1) != Some(Kind::Close)
        {
            // With an argument it keeps that value for the session.
            verdict = Call::Has(Effect::Write);
        }
        if verdict == Call::RunsText && last == "ts_rewrite" && self.argument_count() >= 3 {
            verdict = Call::Harmless;
        }
        if self.only_known_calls && matches!(verdict, Call::Unlisted | Call::Harmless) {
            return Ok(());
        }
        if let Some(objects) = words::values_shown_by(self.dialect, &last) {
            self.found.reads(objects.to_owned());
        }
        self.found.functions.insert(dotted.clone());
        let (effect, why) = match verdict {
            Call::Harmless => (None, String::new()),
            Call::Has(effect) => (
                Some(effect),
                match effect {
                    Effect::Secret => format!("{dotted}() gives away a credential"),
                    Effect::Admin => format!("{dotted}() changes how the server runs"),
                    _ => format!("{dotted}() changes something each time it is called"),
                },
            ),
            Call::Files => (
                Some(Effect::Admin),
                format!("{dotted}() reaches files of the server"),
            ),
            Call::RunsText => (
                Some(Effect::Admin),
                format!("{dotted}() runs SQL that it is handed as text, which is not judged"),
            ),
            Call::Remote => (
                Some(Effect::Admin),
                format!("{dotted}() reaches another server"),
            ),
            Call::Unlisted => (None, String::new()),
        };
        self.found.runs_unjudged |= matches!(verdict, Call::Files | Call::RunsText | Call::Remote);
        self.users_call(name, verdict != Call::Unlisted);
        if let Some(effect) = effect {
            // MySQL runs constant expressions and subqueries while it plans; PostgreSQL only what is not volatile,
            // which no listed function with an effect is, but for those that run text.
            if self.dialect == Dialect::Mysql || verdict == Call::RunsText {
                self.found.effect_at_planning(effect, why);
            } else {
                self.found.effect(effect, || why);
            }
        }
        if words::shows_a_secret(self.dialect, &last)
            && self.kind(1) == Some(Kind::Text)
            && words::setting_is_secret(
                self.source(self.at + 1)
                    .trim_matches('\'')
                    .to_ascii_lowercase()
                    .as_str(),
            )
        {
            self.found.effect(Effect::Secret, || {
                format!("{dotted}() shows a setting that holds a credential")
            });
        }
        Ok(())
    }

    /// How many arguments the parentheses that open here hold.
    pub(super) fn argument_count(&self) -> usize {
        let mut depth = 0usize;
        let mut commas = 0;
        for token in &self.tokens[self.at..] {
            match token.kind {
                Kind::Open | Kind::OpenBracket => depth += 1,
                Kind::Close | Kind::CloseBracket => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                Kind::Comma if depth == 1 => commas += 1,
                _ => {}
            }
        }
        commas + 1
    }
}
