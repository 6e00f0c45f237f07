//! The whole gateway in a world that loses, delays, repeats and reorders everything, and in which processes crash at
//! every call they make. Nothing in it is real time or real chance: a seed tells the whole story again.
//!
//! | file | owns |
//! |---|---|
//! | `wire` | the four ports: each call stops before and after it is done |
//! | `world` | the driver: processes, callers, time, and which call goes on how |
//! | `rules` | people and policies, and what the simulation expects of them |
//! | `promises` | the invariants, held against the world after every step |
//!
//! `PORTCULLIS_SIM_SEEDS=100000` runs so many seeds, `PORTCULLIS_SIM_SEED=17` that one alone.

#![allow(clippy::unwrap_used, clippy::panic)]

mod chance;
mod promises;
mod rules;
mod wire;
mod world;

use std::{collections::BTreeMap, time::Duration};

use portcullis::domain::{
    record::Hash,
    session::{Answer, Request, RequestStatus},
};

use crate::support::people::{SOMEONE, principal};

use self::{
    chance::Chance,
    rules::{ASKERS, Predicates, Rules, Say, Statement},
    wire::{Fate, Port, Side},
    world::{Asked, Fault, Mail, World, simulate},
};

const MINUTE: Duration = Duration::from_secs(60);

// ---------------------------------------------------------------------------------------------- chance

/// How many steps a seed has before everything is left to come to rest.
const STEPS: usize = 260;

/// Seeds run by default; about as many as take a few seconds.
const SEEDS: u64 = 300;

#[test]
fn whatever_is_lost_repeated_delayed_or_crashes_the_promises_hold() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seeds = match number("PORTCULLIS_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PORTCULLIS_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let enough = seeds.end - seeds.start >= SEEDS;
    let mut happened: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seeds {
        let world = simulate(Box::pin(by_chance(seed)));
        for (what, times) in &world.hub.state().happened {
            *happened.entry(what).or_default() += times;
        }
    }
    eprintln!("{happened:?}");
    // A simulation in which it never happens does not show that it is survived.
    for what in [
        "effect",
        "conflict",
        "crash",
        "outcome lost",
        "append not acknowledged",
        "approval.requested",
        "approval.published",
        "approval.decided",
        "approval.expired",
        "request.refused",
        "execution.started",
        "execution.finished",
        "execution.failed",
        "execution.outcome_unknown",
        "too many rows",
        "rehearsal",
        "preview.started",
        "preview.finished",
        "preview.failed",
    ] {
        assert!(
            !enough || happened.get(what) > Some(&20),
            "{what}: {happened:?}"
        );
    }
}

#[test]
fn a_seed_tells_the_same_story_again() {
    for seed in 0..5 {
        let first = simulate(Box::pin(by_chance(seed)));
        let again = simulate(Box::pin(by_chance(seed)));
        assert_eq!(first.trace(), again.trace());
    }
}

async fn by_chance(seed: u64) -> World {
    let mut chance = Chance::new(seed);
    // Some seeds have next to no trouble, so that long stories are told to their end.
    let trouble = *chance.one_of(&[0, 2, 6, 15]);
    let name = format!("PORTCULLIS_SIM_SEED={seed}");
    let rules = *chance.one_of(&[
        Rules::USUAL,
        AT_MOST_TWICE,
        AT_MOST_TWICE,
        TWO_OF_THEM,
        TWO_GROUPS,
    ]);
    let mut world = World::new(name, seed, rules);
    world.grow(*chance.one_of(&[1, 40]));
    // Apart, so that a story is the same but for its clocks.
    let mut clocks = Chance::new(!seed);
    if clocks.percent(25) {
        world.clocks_differ(clocks);
    }
    let mut story = Story::default();
    for _ in 0..STEPS {
        story.step(&mut world, &mut chance, trouble).await;
        world.settle().await;
        world.check();
    }
    for instance in world.stalled() {
        if chance.percent(50) {
            world.crash(instance);
        }
    }
    world.revive();
    world.clocks_agree();
    comes_to_rest(&mut world).await;
    world
}

/// What people have said so far, to be said again.
#[derive(Default)]
struct Story {
    asks: Vec<Asked>,
    mail: Vec<Mail>,
    rested: Vec<Rules>,
}

impl Story {
    async fn step(&mut self, world: &mut World, chance: &mut Chance, trouble: usize) {
        // People are slower than processes: with much under way, calls go on before anything new begins.
        let crowded = world.under_way() > 3 && chance.percent(80);
        match if crowded { 0 } else { chance.below(100) } {
            0..58 => {
                if let Some(call) = world.any_call(chance) {
                    // A target is further away than the record.
                    let far = if call.port == Port::Run { 3 } else { 1 };
                    let fate = if chance.percent(trouble * far) {
                        match (call.port, call.side) {
                            (Port::Run, Side::Before) => {
                                *chance.one_of(&[Fate::Fail, Fate::Refuse, Fate::Lose])
                            }
                            (Port::Catalog, _) => *chance.one_of(&[Fate::Fail, Fate::Refuse]),
                            _ => Fate::Fail,
                        }
                    } else {
                        Fate::Go
                    };
                    if chance.percent(trouble / 3) {
                        world.crash(call.instance);
                    } else {
                        world.proceed(call, fate);
                    }
                } else if chance.percent(50) {
                    world.advance_to_timer();
                }
            }
            58..68 => self.ask(world, chance),
            68..76 => self.answer(world, chance),
            76 => {
                let rows = *chance.one_of(&[1, 3, 40, 400]);
                world.grow(rows);
            }
            77..80 => self.preview(world, chance),
            80..84 => {
                let instance = *chance.one_of(&world.awake());
                world.reconcile(instance);
            }
            84..92 => {
                let some = [
                    Duration::from_millis(10),
                    Duration::from_millis(10),
                    Duration::from_secs(1),
                    Duration::from_secs(1),
                    Duration::from_secs(7),
                    Duration::from_secs(7),
                    Duration::from_secs(21),
                    4 * MINUTE,
                    if chance.percent(40) {
                        31 * MINUTE
                    } else {
                        MINUTE
                    },
                ];
                world.advance(*chance.one_of(&some));
            }
            92..95 => {
                if self.rested.is_empty() || chance.percent(50) {
                    self.rested.push(world.rules);
                    world.set_rules(other(world.rules, chance));
                } else {
                    let former = *chance.one_of(&self.rested);
                    world.set_rules(former);
                }
            }
            95 => {
                let awake = world.awake();
                if awake.len() > 1 && trouble > 0 {
                    world.stall(*chance.one_of(&awake));
                }
            }
            96 => world.revive(),
            97 => {
                let under_way = world.under_way();
                if under_way > 0 && trouble > 0 {
                    world.leave(chance.below(under_way));
                }
            }
            98 => {
                let requests = world.requests();
                if !requests.is_empty() {
                    let ids: Vec<_> = requests.keys().cloned().collect();
                    let id = chance.one_of(&ids).clone();
                    let digest = requests[&id].decided.digest;
                    let who = world.asked[&digest].who;
                    let instance = *chance.one_of(&world.awake());
                    world.look_up(instance, who, id);
                }
            }
            _ => {
                let sessions: Vec<_> = world.before.keys().cloned().collect();
                if !sessions.is_empty() && trouble > 2 && chance.percent(20) {
                    let session = chance.one_of(&sessions).clone();
                    world.erase_key(&session).await;
                }
            }
        }
    }

    fn ask(&mut self, world: &mut World, chance: &mut Chance) {
        let repeats = |asked: &&Asked| asked.keyed || asked.passing;
        let again: Vec<_> = self.asks.iter().filter(repeats).collect();
        let asked = if !again.is_empty() && chance.percent(35) {
            (*chance.one_of(&again)).clone()
        } else {
            let who = if chance.percent(80) {
                *chance.one_of(&ASKERS[..3])
            } else {
                *chance.one_of(&ASKERS)
            };
            let own = principal(who).described();
            let own: Vec<_> = self.sessions(world, &own);
            let session = if !own.is_empty() && chance.percent(60) {
                Some(chance.one_of(&own).clone())
            } else {
                None
            };
            let statement = if chance.percent(45) {
                Statement::Delete
            } else {
                *chance.one_of(&Statement::ALL)
            };
            let keyed = chance.percent(50);
            Asked {
                who,
                statement,
                number: self.asks.len(),
                session,
                keyed,
                passing: !keyed && chance.percent(60),
            }
        };
        self.asks.push(asked.clone());
        let instance = *chance.one_of(&world.awake());
        world.ask(instance, &asked);
    }

    fn sessions(
        &self,
        world: &World,
        of: &portcullis::domain::principal::DescribedPrincipal,
    ) -> Vec<portcullis::domain::id::SessionId> {
        use portcullis::domain::session::EventBody;
        let own = |events: &Vec<portcullis::domain::session::Event>| {
            matches!(events.first().map(|event| &event.body),
                Some(EventBody::SessionOpened(opened)) if opened.principal == *of)
        };
        let sessions = world.before.iter().filter(|(_, events)| own(events));
        sessions.map(|(id, _)| id.clone()).collect()
    }

    fn preview(&mut self, world: &mut World, chance: &mut Chance) {
        let approvals = world.approvals();
        // Mostly of what was asked last: what was asked long ago is over.
        let last = approvals.len().saturating_sub(1 + chance.below(3));
        if let Some((approval, ..)) = approvals.get(last) {
            let who = if chance.percent(80) {
                *chance.one_of(&["carla", "erik", "olga"])
            } else {
                chance.one_of(&SOMEONE).name
            };
            let instance = *chance.one_of(&world.awake());
            world.preview(instance, who, approval);
        }
    }

    /// An answer is written, or one that was written is delivered; it may come again.
    fn answer(&mut self, world: &mut World, chance: &mut Chance) {
        let mail = if !self.mail.is_empty() && chance.percent(35) {
            let which = chance.below(self.mail.len());
            if chance.percent(60) {
                self.mail.remove(which)
            } else {
                self.mail[which].clone()
            }
        } else {
            let approvals = world.approvals();
            let Some((approval, digest, ..)) = approvals.get(chance.below(approvals.len().max(1)))
            else {
                return;
            };
            let who = if chance.percent(75) {
                *chance.one_of(&["carla", "erik", "olga", "dan"])
            } else {
                chance.one_of(&SOMEONE).name
            };
            let digest = if chance.percent(5) {
                approvals[0].1
            } else {
                *digest
            };
            let answer = if chance.percent(90) {
                Answer::Approve
            } else {
                Answer::Deny
            };
            let mail = Mail {
                who,
                approval: approval.clone(),
                answer,
                digest,
                // Some answer where they were asked, others at the gateway.
                enqueued: ["carla", "olga"].contains(&who).then(|| world.now()),
            };
            if chance.percent(40) {
                self.mail.push(mail.clone());
            }
            if chance.percent(10) {
                // Written, and lost for now.
                self.mail.push(mail);
                return;
            }
            mail
        };
        let instance = *chance.one_of(&world.awake());
        world.answer(instance, &mail);
    }
}

/// A policy that differs in one thing.
fn other(mut rules: Rules, chance: &mut Chance) -> Rules {
    const SAYS: [Say; 7] = [
        Say::Allow,
        Say::Deny,
        Say::Ask(&["dba"]),
        Say::Ask(&["dba"]),
        Say::Ask(&["owners"]),
        Say::Ask(&["dba", "owners"]),
        Say::Ask(&["release"]),
    ];
    match chance.below(13) {
        0..3 => rules.delete = *chance.one_of(&SAYS),
        3 => rules.update = *chance.one_of(&SAYS),
        4 => rules.salaries = *chance.one_of(&SAYS),
        5 => rules.dba_count = 1 + u32::try_from(chance.below(3)).unwrap(),
        6 => rules.dba = *chance.one_of(&["db-admins", "db-admins", "staff", "owners"]),
        7 => {
            rules.predicates =
                *chance.one_of(&[Predicates::Allow, Predicates::Ask, Predicates::Deny]);
        }
        8 => rules.writable = !rules.writable,
        9 => rules.crm = !rules.crm,
        10 | 11 => rules.dba_factor = *chance.one_of(&[None, Some(1), Some(4)]),
        _ => rules.keep_results = !rules.keep_results,
    }
    if rules == Rules::USUAL || rules.crm {
        rules
    } else {
        // Without its connection nothing else of a policy matters; a policy that has it back comes soon enough.
        Rules {
            crm: false,
            ..Rules::USUAL
        }
    }
}

/// The faults are over: everything ends, approvers get to know what they were asked, and after the last deadline nothing
/// is left open.
async fn comes_to_rest(world: &mut World) {
    world.drain_well().await;
    let instance = world.awake()[0];
    world.reconcile(instance);
    world.drain_well().await;
    let now = world.now();
    for (id, request) in world.requests() {
        let Some(approval) = &request.approval else {
            continue;
        };
        let told = world.hub.state().notices.iter().any(|notice| {
            notice.request.request_id == id
                && notice.approval.terms.digest == approval.requested.terms.digest
        });
        if request.status() == RequestStatus::PendingApproval
            && approval.requested.terms.expires_at > now
            && !told
        {
            world.fail(
                "approvers get to know what they are asked",
                &format!("{id} was kept from them"),
            );
        }
    }
    world.advance(120 * MINUTE);
    world.reconcile(instance);
    world.drain_well().await;
    for (id, request) in world.requests() {
        if !request.status().is_final() {
            let status = request.status().as_str();
            world.fail(
                "every request comes to an end",
                &format!("{id} is still {status}"),
            );
        }
    }
    for (id, request) in world.requests() {
        if request.status() == RequestStatus::Succeeded {
            let who = world.asked[&request.decided.digest].who;
            world.look_up(instance, who, id);
        }
    }
    world.drain_well().await;
    world.check_all();
}

// ---------------------------------------------------------------------------------------------- sweeps

/// One step of a story that is always the same.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Someone asks, with an Idempotency-Key: number, who, what.
    Ask(usize, &'static str, Statement),
    /// Someone asks who does not wait: number, who, what.
    Call(usize, &'static str, Statement),
    /// Someone answers the question about the ask of this number.
    Answer(usize, &'static str, Answer),
    /// Someone looks at what the ask of this number would change.
    Preview(usize, &'static str),
    /// From now on a change finds so many rows.
    Grow(u64),
    Reconcile,
    Pass(Duration),
    Policy(Rules),
}

struct Scenario {
    name: &'static str,
    rules: Rules,
    acts: &'static [Act],
    /// How the asks end when nothing goes wrong.
    ends: &'static [(usize, RequestStatus)],
}

const TWO_GROUPS: Rules = Rules {
    delete: Say::Ask(&["dba", "owners"]),
    dba_count: 2,
    ..Rules::USUAL
};
const NO_DELETIONS: Rules = Rules {
    delete: Say::Deny,
    ..Rules::USUAL
};
const NO_PREDICATES: Rules = Rules {
    predicates: Predicates::Deny,
    ..Rules::USUAL
};

const TWO_OF_THEM: Rules = Rules {
    dba_count: 2,
    ..Rules::USUAL
};
const TWO_OF_OTHERS: Rules = Rules {
    dba: "owners",
    ..TWO_OF_THEM
};

const AT_MOST_TWICE: Rules = Rules {
    dba_factor: Some(2),
    ..Rules::USUAL
};

const SCENARIOS: [Scenario; 12] = [
    Scenario {
        name: "an approver looks before they say yes",
        rules: Rules::USUAL,
        acts: &[
            Act::Ask(1, "bot", Statement::Delete),
            Act::Preview(1, "bot"),
            Act::Preview(1, "carla"),
            Act::Answer(1, "carla", Answer::Approve),
            Act::Preview(1, "erik"),
        ],
        ends: &[(1, RequestStatus::Succeeded)],
    },
    Scenario {
        name: "a table grows while an approver thinks, and they are asked again",
        rules: AT_MOST_TWICE,
        acts: &[
            Act::Ask(1, "bot", Statement::Delete),
            Act::Grow(7),
            Act::Answer(1, "carla", Answer::Approve),
            Act::Reconcile,
            Act::Answer(1, "carla", Answer::Approve),
        ],
        ends: &[(1, RequestStatus::Succeeded)],
    },
    Scenario {
        name: "who said yes is no longer asked, and then is again",
        rules: TWO_OF_THEM,
        acts: &[
            Act::Ask(1, "bot", Statement::Delete),
            Act::Answer(1, "carla", Answer::Approve),
            Act::Policy(TWO_OF_OTHERS),
            Act::Answer(1, "olga", Answer::Approve),
            Act::Policy(TWO_OF_THEM),
            Act::Answer(1, "erik", Answer::Approve),
        ],
        ends: &[(1, RequestStatus::Succeeded)],
    },
    Scenario {
        name: "reads, an update and a refusal",
        rules: Rules::USUAL,
        acts: &[
            Act::Ask(1, "bot", Statement::Read),
            Act::Ask(2, "bot", Statement::Update),
            Act::Ask(3, "bot", Statement::Drop),
            Act::Ask(4, "hana", Statement::Read),
        ],
        ends: &[
            (1, RequestStatus::Succeeded),
            (2, RequestStatus::Succeeded),
            (3, RequestStatus::Denied),
            (4, RequestStatus::Denied),
        ],
    },
    Scenario {
        name: "a deletion is approved",
        rules: Rules::USUAL,
        acts: &[
            Act::Ask(1, "bot", Statement::Delete),
            Act::Answer(1, "carla", Answer::Approve),
        ],
        ends: &[(1, RequestStatus::Succeeded)],
    },
    Scenario {
        name: "it takes three people of two groups",
        rules: TWO_GROUPS,
        acts: &[
            Act::Ask(1, "bot", Statement::Delete),
            Act::Answer(1, "olga", Answer::Approve),
            Act::Answer(1, "overlord", Answer::Approve),
            Act::Answer(1, "carla", Answer::Approve),
            Act::Answer(1, "erik", Answer::Approve),
        ],
        ends: &[(1, RequestStatus::Succeeded)],
    },
    Scenario {
        name: "nobody decides for themselves, and a no is a no",
        rules: Rules::USUAL,
        acts: &[
            Act::Ask(1, "dan", Statement::Delete),
            Act::Answer(1, "dan", Answer::Approve),
            Act::Answer(1, "carla", Answer::Deny),
            Act::Answer(1, "erik", Answer::Approve),
        ],
        ends: &[(1, RequestStatus::ApprovalDenied)],
    },
    Scenario {
        name: "an approval comes too late",
        rules: Rules::USUAL,
        acts: &[
            Act::Ask(1, "bot", Statement::Delete),
            Act::Reconcile,
            Act::Pass(Duration::from_secs(30 * 60)),
            Act::Answer(1, "carla", Answer::Approve),
        ],
        ends: &[(1, RequestStatus::ApprovalExpired)],
    },
    Scenario {
        name: "a deny is added before the approval",
        rules: Rules::USUAL,
        acts: &[
            Act::Ask(1, "bot", Statement::Delete),
            Act::Policy(NO_DELETIONS),
            Act::Answer(1, "carla", Answer::Approve),
        ],
        ends: &[(1, RequestStatus::Denied)],
    },
    Scenario {
        name: "conditions on a masked column are forbidden before the approval",
        rules: Rules::USUAL,
        acts: &[
            Act::Ask(1, "bot", Statement::Probe),
            Act::Policy(NO_PREDICATES),
            Act::Answer(1, "olga", Answer::Approve),
        ],
        ends: &[(1, RequestStatus::Denied)],
    },
    Scenario {
        name: "who does not wait asks again, and it runs once",
        rules: Rules::USUAL,
        acts: &[
            Act::Call(1, "bot", Statement::Delete),
            Act::Answer(1, "carla", Answer::Approve),
            Act::Call(1, "bot", Statement::Delete),
        ],
        ends: &[(1, RequestStatus::Succeeded)],
    },
    Scenario {
        name: "a read is approved, and looked up",
        rules: Rules::USUAL,
        acts: &[
            Act::Ask(1, "crawler", Statement::Salaries),
            Act::Answer(1, "olga", Answer::Approve),
            Act::Ask(1, "crawler", Statement::Salaries),
        ],
        ends: &[(1, RequestStatus::Succeeded)],
    },
];

impl Scenario {
    fn world(&self, how: &str) -> World {
        World::new(format!("`{}`, {how}", self.name), 7, self.rules)
    }

    /// Begins one act. What cannot be answered because it is not on record is not.
    fn begin(world: &mut World, act: &Act) {
        let instance = world.awake()[0];
        match *act {
            Act::Ask(number, who, statement) => {
                world.ask(instance, &the_ask(number, who, statement))
            }
            Act::Call(number, who, statement) => {
                let asked = the_ask(number, who, statement);
                let passing = Asked {
                    keyed: false,
                    passing: true,
                    ..asked
                };
                world.ask(instance, &passing);
            }
            Act::Answer(number, who, answer) => {
                let digest = world.asked.iter().find(|(_, asked)| asked.number == number);
                let digest = *digest.unwrap().0;
                let approvals = world.approvals();
                let approval = approvals.iter().find(|(.., of)| *of == digest);
                if let Some((approval, digest, ..)) = approval {
                    let mail = Mail {
                        who,
                        approval: approval.clone(),
                        answer,
                        digest: *digest,
                        enqueued: None,
                    };
                    world.answer(instance, &mail);
                }
            }
            Act::Preview(number, who) => {
                let of = |asked: &Hash| world.asked[asked].number == number;
                let approvals = world.approvals();
                if let Some((approval, ..)) = approvals.iter().find(|(.., asked)| of(asked)) {
                    world.preview(instance, who, approval);
                }
            }
            Act::Grow(rows) => world.grow(rows),
            Act::Reconcile => world.reconcile(instance),
            Act::Pass(time) => world.advance(time),
            Act::Policy(rules) => world.set_rules(rules),
        }
    }

    /// Plays it to its end; `fault` picks what goes wrong by its number. Returns how many calls there were.
    async fn play(
        &self,
        world: &mut World,
        fault: &mut dyn FnMut(usize, &wire::Call) -> Option<Fault>,
    ) -> usize {
        let mut calls = 0;
        for act in self.acts {
            Self::begin(world, act);
            calls = world.drain(calls, fault).await;
        }
        calls
    }

    fn expect(&self, world: &World) {
        for (number, status) in self.ends {
            let (id, request) = the_request(world, *number);
            if request.status() != *status {
                let is = request.status().as_str();
                world.fail(
                    "it ends as told",
                    &format!("{id} is {is}, not {}", status.as_str()),
                );
            }
        }
    }
}

fn the_ask(number: usize, who: &'static str, statement: Statement) -> Asked {
    Asked {
        who,
        statement,
        number,
        session: None,
        keyed: true,
        passing: false,
    }
}

fn the_request(world: &World, number: usize) -> (portcullis::domain::id::RequestId, Request) {
    let of = |request: &Request| world.asked[&request.decided.digest].number == number;
    let mut requests = world.requests().into_iter();
    requests.find(|(_, request)| of(request)).unwrap()
}

#[test]
fn every_story_ends_as_told_when_nothing_goes_wrong() {
    for scenario in &SCENARIOS {
        simulate(async {
            let mut world = scenario.world("undisturbed");
            scenario.play(&mut world, &mut |_, _| None).await;
            scenario.expect(&world);
            comes_to_rest(&mut world).await;
            scenario.expect(&world);
        });
    }
}

/// Plays each scenario once for each of its calls, with this going wrong at that call.
fn sweep(fault: Fault, of: impl Fn(&wire::Call) -> bool) {
    let mut swept = 0;
    for scenario in &SCENARIOS {
        for at in 0.. {
            let (hit, calls) = simulate(async {
                let mut world = scenario.world(&format!("{fault:?} at call {at}"));
                let mut hit = false;
                let mut pick = |number, call: &wire::Call| {
                    let picked = (number == at && of(call)).then_some(fault);
                    hit |= picked.is_some();
                    picked
                };
                let calls = scenario.play(&mut world, &mut pick).await;
                // Whoever got no answer asks and answers again.
                scenario.play(&mut world, &mut |_, _| None).await;
                comes_to_rest(&mut world).await;
                (hit, calls)
            });
            swept += usize::from(hit);
            if at >= calls {
                break;
            }
        }
    }
    assert!(swept > 4, "{swept} calls were swept");
}

#[test]
fn every_call_may_fail() {
    sweep(Fault::Fail, |_| true);
}

#[test]
fn the_target_may_refuse_or_be_lost() {
    let dispatched = |call: &wire::Call| call.port == Port::Run && call.side == Side::Before;
    sweep(Fault::Refuse, dispatched);
    sweep(Fault::Lose, dispatched);
}

#[test]
fn the_target_may_not_show_its_catalog() {
    sweep(Fault::Refuse, |call| call.port == Port::Catalog);
}

#[test]
fn a_process_may_crash_before_and_after_every_call() {
    sweep(Fault::Crash, |_| true);
}

#[test]
fn every_call_may_fail_from_some_call_on_until_the_record_is_back() {
    for scenario in &SCENARIOS {
        for (at, length) in [
            (0, 9),
            (1, 40),
            (3, 3),
            (5, 12),
            (8, 60),
            (12, 25),
            (20, 200),
        ] {
            simulate(async {
                let mut world = scenario.world(&format!("calls {at} and {length} more fail"));
                let store = |call: &wire::Call| {
                    !matches!(
                        call.port,
                        Port::Run | Port::Publish | Port::Preview | Port::Catalog
                    )
                };
                let mut pick = |number, call: &wire::Call| {
                    ((at..at + length).contains(&number) && store(call)).then_some(Fault::Fail)
                };
                scenario.play(&mut world, &mut pick).await;
                scenario.play(&mut world, &mut |_, _| None).await;
                comes_to_rest(&mut world).await;
            });
        }
    }
}

#[test]
fn every_step_may_be_repeated_at_once_or_later() {
    for scenario in &SCENARIOS {
        for repeated in 0..scenario.acts.len() {
            for times in [1, 3] {
                simulate(async {
                    let mut world = scenario.world(&format!("act {repeated} again and again"));
                    for (number, act) in scenario.acts.iter().enumerate() {
                        Scenario::begin(&mut world, act);
                        if number == repeated {
                            for _ in 0..times {
                                // At once, in the same process and in another.
                                if !matches!(act, Act::Pass(_) | Act::Grow(_)) {
                                    Scenario::begin(&mut world, act);
                                }
                            }
                        }
                        world.drain_well().await;
                        let again = &scenario.acts[repeated];
                        if number >= repeated
                            && !matches!(again, Act::Pass(_) | Act::Policy(_) | Act::Grow(_))
                        {
                            // And once more after everything else.
                            Scenario::begin(&mut world, again);
                            world.drain_well().await;
                        }
                    }
                    scenario.expect(&world);
                    comes_to_rest(&mut world).await;
                    scenario.expect(&world);
                });
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------- single stories

/// Lets everything through up to the first call that `stops`, which is returned.
async fn until(world: &mut World, stops: impl Fn(&wire::Call) -> bool) -> wire::Call {
    loop {
        world.settle().await;
        let call = world.next_call().unwrap();
        if stops(&call) {
            return call;
        }
        world.proceed(call, Fate::Go);
    }
}

/// Lets everything through that may go on, and no time pass.
async fn until_idle(world: &mut World) {
    loop {
        world.settle().await;
        match world.next_call() {
            Some(call) => world.proceed(call, Fate::Go),
            None => return,
        }
    }
}

#[test]
fn a_process_that_slept_over_its_lease_begins_nothing() {
    simulate(async {
        let mut world = World::new("slept".into(), 1, Rules::USUAL);
        let [first, second] = world.awake()[..] else {
            panic!("two processes");
        };
        world.ask(first, &the_ask(1, "bot", Statement::Update));
        let intent = |call: &wire::Call| call.port == Port::Append && call.side == Side::After;
        let call = until(&mut world, intent).await;
        world.stall(first);
        world.advance(MINUTE);
        world.reconcile(second);
        until_idle(&mut world).await;
        assert_eq!(
            the_request(&world, 1).1.status(),
            RequestStatus::OutcomeUnknown
        );
        world.revive();
        world.proceed(call, Fate::Go);
        world.drain_well().await;
        let (id, request) = the_request(&world, 1);
        assert_eq!(world.effects_of(&id), 0);
        assert_eq!(request.status(), RequestStatus::Failed);
        comes_to_rest(&mut world).await;
    });
}

#[test]
fn an_outcome_is_not_given_up_because_others_are_busy_in_its_session() {
    simulate(async {
        let mut world = World::new("busy".into(), 1, Rules::USUAL);
        let first = world.awake()[0];
        world.ask(first, &the_ask(1, "bot", Statement::Update));
        let outcome =
            |call: &wire::Call| call.side == Side::Before && call.about == "execution.finished";
        for _ in 0..50 {
            let call = until_or_timer(&mut world, outcome).await;
            let session = the_request(&world, 1).0.session();
            world.append_beside(&session).await;
            world.proceed(call, Fate::Go);
        }
        world.drain_well().await;
        assert_eq!(the_request(&world, 1).1.status(), RequestStatus::Succeeded);
        comes_to_rest(&mut world).await;
    });
}

async fn until_or_timer(world: &mut World, stops: impl Fn(&wire::Call) -> bool) -> wire::Call {
    loop {
        world.settle().await;
        match world.next_call() {
            Some(call) if stops(&call) => return call,
            Some(call) => world.proceed(call, Fate::Go),
            None => assert!(world.advance_to_timer(), "it was given up"),
        }
    }
}

#[test]
fn what_cannot_be_done_keeps_nothing_else_from_being_done() {
    simulate(async {
        let mut world = World::new("crowd".into(), 1, Rules::USUAL);
        let first = world.awake()[0];
        let mut approvers_are_out =
            |_: usize, call: &wire::Call| (call.port == Port::Publish).then_some(Fault::Fail);
        for number in 0..104 {
            let who = ["bot", "crawler"][number % 2];
            world.ask(first, &the_ask(number, who, Statement::Delete));
        }
        world.drain(0, &mut approvers_are_out).await;
        world.ask(first, &the_ask(200, "dan", Statement::Update));
        let dispatch = |call: &wire::Call| call.port == Port::Run;
        let _lost = until(&mut world, dispatch).await;
        world.crash(first);
        world.advance(MINUTE);
        let next = world.awake()[0];
        world.reconcile(next);
        world.drain(0, &mut approvers_are_out).await;
        assert_eq!(
            the_request(&world, 200).1.status(),
            RequestStatus::OutcomeUnknown
        );
        comes_to_rest(&mut world).await;
    });
}

#[test]
fn approvers_are_asked_about_a_growing_table_three_times_at_most() {
    simulate(async {
        let mut world = World::new("growing".into(), 1, AT_MOST_TWICE);
        let first = world.awake()[0];
        world.ask(first, &the_ask(1, "bot", Statement::Delete));
        world.drain_well().await;
        let mut digests = Vec::new();
        for (rows, then) in [
            (7, RequestStatus::PendingApproval),
            (70, RequestStatus::PendingApproval),
            (700, RequestStatus::Failed),
        ] {
            world.grow(rows);
            let (approval, digest, ..) = world.approvals().remove(0);
            digests.push(digest);
            // Whatever was said to an earlier question is delivered once more.
            for digest in &digests {
                let mail = Mail {
                    who: "carla",
                    approval: approval.clone(),
                    answer: Answer::Approve,
                    digest: *digest,
                    enqueued: None,
                };
                world.answer(first, &mail);
                world.drain_well().await;
            }
            let (id, request) = the_request(&world, 1);
            assert_eq!(request.status(), then);
            assert_eq!(world.effects_of(&id), 0);
        }
        digests.dedup();
        assert_eq!(digests.len(), 3, "each question has a digest of its own");
        comes_to_rest(&mut world).await;
    });
}
