//! Explores every reachable state, and looks for a fair way to go on for ever without gain.
//!
//! **What is looked for.** A path that from some state on stays among states where something is owed, takes no step that
//! gains, and is fair: what stays possible from some moment on is done again and again (weak fairness), for each class
//! of [`Action::fair_class`] by itself. A state where nothing is possible but that time passes is such a path too.
//!
//! **Why strongly connected components are enough.** What a path visits again and again lies in one component of the
//! graph without the gainful steps. If a component has, for each class, a state where the class is impossible or an inner
//! step of the class, then the path that goes round all its states and steps is fair. If it has not, for some class, then
//! that class is possible in all its states and never taken, and no path inside it, or inside a part of it, is fair. So
//! the answer is exact in both directions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::system::{Action, Gain, System, Variant};

/// A step between two states.
#[derive(Clone, Copy)]
pub(super) struct Step {
    action: Action,
    to: u32,
    gain: Gain,
}

/// What is known of a state once it was left.
struct State {
    steps: Vec<Step>,
    /// The state that it was found from, and how.
    from: Option<(u32, Action)>,
    is_filled: bool,
    has_unsettled: bool,
}

/// All states of a variant.
pub(super) struct Space {
    variant: Variant,
    states: Vec<State>,
    /// Answers, rungs and other things that occurred, and in how many steps.
    pub(super) seen: BTreeMap<&'static str, u64>,
}

/// Something that is owed, and what repays it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Debt {
    /// A finalized block is not settled.
    Settlement,
    /// Transactions wait.
    Inclusion,
}

impl Space {
    /// Goes everywhere.
    pub(super) fn explore(variant: Variant, bound: usize) -> Self {
        let first = System::new(variant);
        let mut space = Self {
            variant,
            states: Vec::new(),
            seen: BTreeMap::new(),
        };
        let mut known = BTreeMap::from([(first.key(), 0_u32)]);
        space.add(&first, None);
        let mut open = VecDeque::from([(0_u32, first)]);
        while let Some((at, system)) = open.pop_front() {
            for action in system.actions() {
                let (next, gain) = system.after(action);
                let number = u32::try_from(space.states.len()).expect("states are bounded");
                let to = *known.entry(next.key()).or_insert(number);
                space.note(&next);
                if to == number {
                    assert!(
                        space.states.len() < bound,
                        "{variant:?} has more than {bound} states"
                    );
                    space.add(&next, Some((at, action)));
                    open.push_back((to, next));
                }
                space.states[at as usize].steps.push(Step { action, to, gain });
            }
        }
        space
    }

    fn add(&mut self, system: &System, from: Option<(u32, Action)>) {
        self.states.push(State {
            steps: Vec::new(),
            from,
            is_filled: system.is_filled(),
            has_unsettled: system.has_unsettled(),
        });
    }

    fn note(&mut self, next: &System) {
        let (rung, gave_way) = next.ladder();
        let shown = [Some(rung.name()), gave_way.then_some("gave way")];
        for what in next.seen.iter().copied().chain(shown.into_iter().flatten()) {
            *self.seen.entry(what).or_default() += 1;
        }
    }

    pub(super) fn states(&self) -> usize {
        self.states.len()
    }

    pub(super) fn steps(&self) -> usize {
        self.states.iter().map(|state| state.steps.len()).sum()
    }

    fn owes(&self, state: u32, debt: Debt) -> bool {
        let state = &self.states[state as usize];
        match debt {
            Debt::Settlement => state.has_unsettled,
            Debt::Inclusion => state.is_filled,
        }
    }

    /// Steps from a state that owes to another one, without gain.
    fn in_vain(&self, state: u32, debt: Debt) -> impl Iterator<Item = &Step> {
        let owes = self.owes(state, debt);
        self.states[state as usize].steps.iter().filter(move |step| {
            let gains = match debt {
                Debt::Settlement => step.gain.settles,
                Debt::Inclusion => step.gain.includes,
            };
            owes && self.owes(step.to, debt) && !gains
        })
    }

    /// A fair way to owe for ever, in words; `None` if there is none.
    pub(super) fn starvation(&self, debt: Debt) -> Option<String> {
        let successors: Vec<Vec<u32>> = (0..self.states.len())
            .map(|state| {
                let state = u32::try_from(state).expect("states are bounded");
                self.in_vain(state, debt).map(|step| step.to).collect()
            })
            .collect();
        let mut starving: Vec<BTreeSet<u32>> = components(&successors)
            .into_iter()
            .filter(|component| self.is_fair(component, debt))
            .collect();
        starving.sort_by_key(|component| component.first().copied());
        starving.first().map(|component| self.tell(component, debt))
    }

    /// Whether a fair path can stay in the component.
    fn is_fair(&self, component: &BTreeSet<u32>, debt: Debt) -> bool {
        let inner = |state: u32| {
            self.in_vain(state, debt)
                .filter(|step| component.contains(&step.to))
        };
        let goes_on = component.iter().any(|state| inner(*state).next().is_some());
        goes_on
            && (0..Action::FAIR).all(|class| {
                let is_of = |step: &Step| step.action.fair_class() == Some(class);
                component.iter().any(|state| {
                    let is_possible = self.states[*state as usize].steps.iter().any(is_of);
                    !is_possible || inner(*state).any(is_of)
                })
            })
    }

    /// How to get into the component, and what is done there.
    fn tell(&self, component: &BTreeSet<u32>, debt: Debt) -> String {
        let entry = *component.first().expect("a component has a state");
        let mut path = Vec::new();
        let mut at = entry;
        while let Some((from, action)) = self.states[at as usize].from {
            path.push(action);
            at = from;
        }
        let mut system = System::new(self.variant);
        let mut told = format!("{:?}: {debt:?} starves\n", self.variant);
        for action in path.into_iter().rev() {
            system = system.after(action).0;
            told += &format!("  {action:?}: {}\n", system.describe());
        }
        told += &format!("and then for ever, in {} states:\n", component.len());
        for state in component.iter().take(12) {
            let actions: Vec<Action> = self
                .in_vain(*state, debt)
                .filter(|step| component.contains(&step.to))
                .map(|step| step.action)
                .collect();
            told += &format!("  {actions:?}\n");
        }
        told
    }
}

/// The strongly connected components of a graph (Kosaraju): states in the order in which a search through the graph is done
/// with them, the last first, each with what leads to it.
fn components(successors: &[Vec<u32>]) -> Vec<BTreeSet<u32>> {
    let mut predecessors = vec![Vec::new(); successors.len()];
    for (from, to) in (0_u32..).zip(successors) {
        for to in to {
            predecessors[*to as usize].push(from);
        }
    }
    let mut left = Vec::with_capacity(successors.len());
    let mut is_found = vec![false; successors.len()];
    for (start, _) in (0_u32..).zip(successors) {
        search(successors, start, &mut is_found, &mut left);
    }
    let mut is_found = vec![false; successors.len()];
    let mut found = Vec::new();
    for start in left.into_iter().rev() {
        let mut component = Vec::new();
        search(&predecessors, start, &mut is_found, &mut component);
        if !component.is_empty() {
            found.push(component.into_iter().collect());
        }
    }
    found
}

/// Appends what is found from `start` on and was not found before, in the order in which the search is done with it.
fn search(next: &[Vec<u32>], start: u32, is_found: &mut [bool], done: &mut Vec<u32>) {
    if std::mem::replace(&mut is_found[start as usize], true) {
        return;
    }
    let mut open = vec![(start, 0)];
    while let Some((at, tried)) = open.last_mut() {
        let Some(to) = next[*at as usize].get(*tried).copied() else {
            done.push(*at);
            open.pop();
            continue;
        };
        *tried += 1;
        if !std::mem::replace(&mut is_found[to as usize], true) {
            open.push((to, 0));
        }
    }
}

#[test]
fn components_are_those_of_a_drawn_graph() {
    // 0 and 1 lead to each other and to 2, 2 and 3 to each other and to 4, 4 to itself; 5 leads to 0.
    let graph = [vec![1], vec![0, 2], vec![3], vec![2, 4], vec![4], vec![0]];
    let mut found = components(&graph);
    found.sort();
    let sets: [&[u32]; 4] = [&[0, 1], &[2, 3], &[4], &[5]];
    let expected: Vec<BTreeSet<u32>> = sets.iter().map(|set| set.iter().copied().collect()).collect();
    assert_eq!(found, expected);
}
