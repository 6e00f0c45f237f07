//! Notices that the files of the policy have changed.
//!
//! It reads them every second and compares what they hold. Notifications of the file system would be quicker and are
//! not to be had where policies often lie: on network mounts, behind symbolic links that are swapped as a whole.
//!
//! Secrets that a vault may change are looked up again now and then, though no file says so.
//!
//! A change counts when two looks in a row saw the same: a file that is still being written may well be a policy
//! already, without the deny rules at its end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Catalog, Snapshot, files::Files};
use crate::domain::record::Hash;

const EVERY: Duration = Duration::from_secs(1);

/// What one look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The files in force, or files that were refused before.
    Nothing,
    /// Something else than the last time: look again.
    Changing,
    /// A new policy, now in force.
    Replaced,
    /// A new policy that was refused.
    Refused,
}

/// Watches the files of a catalog and replaces its policy.
pub struct Watcher {
    catalog: Arc<Catalog>,
    /// What was decided about last: in force, or refused. `None`: the files could not be read.
    settled: Option<Hash>,
    /// What the last look saw.
    last: Option<Hash>,
    /// When the secrets were last looked up.
    resolved: Instant,
    every: Duration,
}

impl Watcher {
    /// A watcher that has not looked yet. Nothing that changed since the catalog was loaded is missed.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        let loaded = catalog.loaded;
        Self {
            catalog,
            settled: Some(loaded),
            last: Some(loaded),
            resolved: Instant::now(),
            every: EVERY,
        }
    }

    /// Looks every second until `stop` fires.
    pub async fn run(mut self, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(self.every))
            .await
            .is_some()
        {
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(watcher) => self = watcher,
                Err(failure) => {
                    error!(%failure, "the policy is no longer watched: restart to take up changes");
                    return;
                }
            }
        }
    }

    /// Looks the secrets of the policy in force up again. What cannot be looked up stays as it was.
    fn refresh(&self, files: Files, stays: &Snapshot) -> Seen {
        match self.catalog.source.snapshot(files) {
            // Files that were refused are no policy, whatever their secrets are.
            Ok(new) if new.policy.version != stays.policy.version => Seen::Nothing,
            Ok(new) if new.endpoints == stays.endpoints => Seen::Nothing,
            Ok(new) => {
                info!(policy = %new.policy.version, "secrets of the policy have changed");
                self.catalog.current.send_replace(Arc::new(new));
                Seen::Replaced
            }
            Err(error) => {
                warn!(policy = %stays.policy.version, "secrets cannot be looked up again and stay as they were: {error}");
                Seen::Nothing
            }
        }
    }

    fn look(&mut self) -> Seen {
        let files = Files::read(self.catalog.path());
        let now = files.as_ref().ok().map(Files::fingerprint);
        let before = std::mem::replace(&mut self.last, now);
        let stays = self.catalog.snapshot();
        if now == self.settled {
            let refresh = self.catalog.source.refresh;
            return match files {
                Ok(files) if refresh.is_some_and(|after| self.resolved.elapsed() >= after) => {
                    self.resolved = Instant::now();
                    self.refresh(files, &stays)
                }
                _ => Seen::Nothing,
            };
        }
        if now != before {
            return Seen::Changing;
        }
        self.settled = now;
        self.resolved = Instant::now();
        let loaded = files
            .map_err(Into::into)
            .and_then(|files| self.catalog.source.snapshot(files));
        match loaded {
            Ok(new) if new.policy.version == stays.policy.version => {
                info!(policy = %new.policy.version, "the policy is as it was");
                self.catalog.current.send_replace(Arc::new(new));
                Seen::Replaced
            }
            Ok(new) => {
                info!(policy = %new.policy.version, before = %stays.policy.version, "a new policy is in force");
                self.catalog.current.send_replace(Arc::new(new));
                Seen::Replaced
            }
            Err(refused) => {
                error!(
                    policy = %stays.policy.version,
                    path = %self.catalog.path().display(),
                    "the new policy is refused and the last good one stays in force:\n{refused}"
                );
                Seen::Refused
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Mutex};

    use super::*;
    use crate::{
        catalog::{LoadError, Source},
        domain::connection::Access,
    };

    fn policy(rule: &str) -> String {
        format!(
            "version: 1\nconnections:\n  crm:\n    kind: sqlite\n    read: {{ url: \"sqlite:${{secret:FILE}}\" }}\n    \
             allow: {{ groups: [ai] }}\nrules:\n  - {{ name: {rule}, when: {{ effect: read }}, then: allow }}\n"
        )
    }

    fn source(path: &Path) -> Source {
        Source::new(path).with_secrets(Box::new(|name| {
            Ok((name == "FILE").then(|| "crm.db".into()))
        }))
    }

    fn in_force(watcher: &Watcher) -> String {
        watcher.catalog.snapshot().policy.rules[0].name.to_string()
    }

    /// Looks twice, as two seconds would.
    fn settle(watcher: &mut Watcher) -> Seen {
        assert_eq!(watcher.look(), Seen::Changing);
        watcher.look()
    }

    #[test]
    fn a_changed_policy_comes_into_force_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yaml");
        fs::write(&path, policy("first")).unwrap();
        let catalog = Catalog::load_from(source(&path)).unwrap();
        let mut changes = catalog.changes();
        let mut watcher = Watcher::new(catalog.clone());
        assert_eq!(watcher.look(), Seen::Nothing);

        fs::write(&path, policy("second")).unwrap();
        assert_eq!(settle(&mut watcher), Seen::Replaced);
        assert_eq!(in_force(&watcher), "second");
        assert!(changes.has_changed().unwrap());
        assert_eq!(
            changes.borrow_and_update().policy.rules[0].name.0.as_ref(),
            "second"
        );
        let version = catalog.snapshot().policy.version;

        for broken in [
            policy("third").replace("effect", "efect"),
            policy("third").replace("secret:FILE", "secret:NO_SUCH"),
            String::new(),
        ] {
            fs::write(&path, broken).unwrap();
            assert_eq!(settle(&mut watcher), Seen::Refused);
            assert_eq!(
                watcher.look(),
                Seen::Nothing,
                "it is refused once, not every second"
            );
            assert_eq!(catalog.snapshot().policy.version, version);
            assert!(!changes.has_changed().unwrap());
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(settle(&mut watcher), Seen::Refused);
        assert_eq!(in_force(&watcher), "second");

        fs::write(&path, policy("fourth")).unwrap();
        assert_eq!(settle(&mut watcher), Seen::Replaced);
        assert_eq!(in_force(&watcher), "fourth");
    }

    #[test]
    fn a_secret_that_changes_in_its_vault_is_taken_up_and_one_that_is_gone_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yaml");
        fs::write(&path, policy("first")).unwrap();
        let vault = Arc::new(Mutex::new(Ok(Some("one.db".to_owned()))));
        let secrets = Arc::clone(&vault);
        let source = Source::new(&path)
            .with_secrets(Box::new(move |_| secrets.lock().unwrap().clone()))
            .with_refresh(Duration::ZERO);
        let catalog = Catalog::load_from(source).unwrap();
        let mut watcher = Watcher::new(catalog.clone());
        let leads_to = |url: &str| {
            let crm = "crm".parse().unwrap();
            let snapshot = catalog.snapshot();
            let read = snapshot.endpoints.get(&crm, Access::Read).cloned();
            assert_eq!(read, Some(crate::domain::policy::Endpoint::url(url)));
        };
        assert_eq!(watcher.look(), Seen::Nothing);
        *vault.lock().unwrap() = Ok(Some("two.db".into()));
        assert_eq!(watcher.look(), Seen::Replaced);
        leads_to("sqlite:two.db");
        for gone in [Ok(None), Err("the vault does not answer".into())] {
            *vault.lock().unwrap() = gone;
            assert_eq!(watcher.look(), Seen::Nothing);
            leads_to("sqlite:two.db");
        }
    }

    #[test]
    fn a_file_that_is_still_being_written_is_not_a_policy_yet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yaml");
        fs::write(&path, policy("first")).unwrap();
        let mut watcher = Watcher::new(Catalog::load_from(source(&path)).unwrap());
        let whole =
            policy("second") + "  - { name: no, when: { effect: schema }, then: { deny: No. } }\n";
        let without_the_deny = whole.lines().count() - 1;
        for lines in without_the_deny..=without_the_deny + 1 {
            let written: Vec<&str> = whole.lines().take(lines).collect();
            fs::write(&path, written.join("\n")).unwrap();
            assert_eq!(watcher.look(), Seen::Changing);
            assert_eq!(in_force(&watcher), "first");
        }
        assert_eq!(watcher.look(), Seen::Replaced);
        assert_eq!(watcher.catalog.snapshot().policy.rules.len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_swapped_as_a_whole_is_taken_up_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        for (version, rule) in [("one", "first"), ("two", "second")] {
            let inside = folder.path().join(version);
            fs::create_dir(&inside).unwrap();
            let (connections, rules) = policy(rule)
                .split_once("rules:")
                .map(|(a, b)| (a.to_owned(), format!("version: 1\nrules:{b}")))
                .unwrap();
            fs::write(inside.join("10-connections.yaml"), connections).unwrap();
            fs::write(inside.join("20-rules.yml"), rules).unwrap();
            fs::write(inside.join(".20-rules.yml.swp"), "not this").unwrap();
            fs::write(inside.join("README.md"), "nor this").unwrap();
        }
        let link = folder.path().join("current");
        let point_at = |version: &str| {
            let new = folder.path().join("new");
            std::os::unix::fs::symlink(folder.path().join(version), &new).unwrap();
            fs::rename(new, &link).unwrap();
        };
        point_at("one");
        let mut watcher = Watcher::new(Catalog::load_from(source(&link)).unwrap());
        point_at("two");
        assert_eq!(settle(&mut watcher), Seen::Replaced);
        assert_eq!(in_force(&watcher), "second");
        fs::remove_file(&link).unwrap();
        fs::create_dir(&link).unwrap();
        assert_eq!(settle(&mut watcher), Seen::Refused);
        assert_eq!(in_force(&watcher), "second");
    }

    #[test]
    fn without_a_policy_or_a_secret_it_names_there_is_no_catalog() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yaml");
        assert!(matches!(
            Catalog::load_from(source(&path)),
            Err(LoadError::Unreadable(_))
        ));
        fs::write(&path, "version: 1\nrulez: []\n").unwrap();
        assert!(matches!(
            Catalog::load_from(source(&path)),
            Err(LoadError::Wrong(_))
        ));
        fs::write(&path, policy("first").replace("FILE", "NO_SUCH")).unwrap();
        let error = Catalog::load_from(source(&path)).err().unwrap().to_string();
        assert!(
            error.contains("`connections.crm.read.url`") && error.contains("NO_SUCH"),
            "{error}"
        );
        fs::write(&path, policy("first")).unwrap();
        let unfinished = source(&path).with_finish(Box::new(|_| Err("no key".into())));
        assert!(matches!(
            Catalog::load_from(unfinished),
            Err(LoadError::Unfinished(_))
        ));
        let snapshot = Catalog::load_from(source(&path)).unwrap().snapshot();
        let crm = "crm".parse().unwrap();
        let read = snapshot.endpoints.get(&crm, Access::Read).unwrap();
        assert_eq!(*read, crate::domain::policy::Endpoint::url("sqlite:crm.db"));
        assert_eq!(snapshot.endpoints.get(&crm, Access::Write), None);
    }

    #[tokio::test]
    async fn a_running_watcher_stops_when_it_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yaml");
        fs::write(&path, policy("first")).unwrap();
        let catalog = Catalog::load_from(source(&path)).unwrap();
        let mut changes = catalog.changes();
        let stop = CancellationToken::new();
        let mut watcher = Watcher::new(catalog.clone());
        watcher.every = Duration::from_millis(5);
        let running = tokio::spawn(watcher.run(stop.clone()));
        fs::write(&path, policy("second")).unwrap();
        changes.changed().await.unwrap();
        assert_eq!(catalog.snapshot().policy.rules[0].name.0.as_ref(), "second");
        stop.cancel();
        running.await.unwrap();
    }
}
