//! Definitions that were given a name: audiences, which other definitions can refer to, and whole reports.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::audience::Audience;
use super::json::Node;
use super::nearest::nearest;
use super::period::ProjectTime;
use crate::error::{Error, Result};
use crate::limits;
use crate::model::Zone;

/// Saved definitions, each as the JSON that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// By name, the audience's expression.
    pub audiences: BTreeMap<String, String>,
    /// By name, which report it is and its query.
    pub reports: BTreeMap<String, SavedReport>,
    /// How the project counts time. It is kept elsewhere.
    #[serde(skip)]
    pub time: ProjectTime,
}

/// A report with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedReport {
    /// The kind of report, such as `funnel`.
    pub report: String,
    /// Its query.
    pub query: String,
}

/// What a definition may refer to while it is read.
#[derive(Debug)]
pub struct Terms<'a> {
    saved: &'a Saved,
    /// Expressions read so far: saved audiences of saved audiences could multiply.
    expressions: Cell<usize>,
    /// The saved audiences that are being read, one inside the other.
    open: RefCell<Vec<String>>,
}

impl<'a> Terms<'a> {
    /// Definitions may refer to what is in `saved`.
    pub fn new(saved: &'a Saved) -> Self {
        Self { saved, expressions: Cell::new(0), open: RefCell::default() }
    }

    /// How time is counted where a definition does not say it.
    pub(super) fn time(&self) -> &'a ProjectTime {
        &self.saved.time
    }

    /// Counts an expression of an audience; an error if there are too many.
    pub(super) fn count(&self, node: &Node) -> Result<()> {
        self.expressions.set(self.expressions.get() + 1);
        if self.expressions.get() > limits::AUDIENCE_EXPRESSIONS_MAX {
            let most = limits::AUDIENCE_EXPRESSIONS_MAX;
            return Err(node.error("too_large", format!("the audience has more than {most} expressions")));
        }
        Ok(())
    }

    /// The saved audience that `node` names, at nesting `depth`.
    pub(super) fn audience(&self, node: Node, zone: &Zone, depth: usize) -> Result<(String, Audience)> {
        let place = node.clone();
        let name = node.name()?;
        let Some(text) = self.saved.audiences.get(&name) else {
            let error = place.error("unknown_audience", format!("no saved audience \"{name}\""));
            return Err(match nearest(&name, self.saved.audiences.keys().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean \"{near}\"?")),
                None => error.hint("PUT /api/v1/audiences/{name} saves one"),
            });
        };
        if self.open.borrow().contains(&name) {
            let message = format!("the saved audience \"{name}\" is defined by itself");
            return Err(place.error("circular", message));
        }
        self.open.borrow_mut().push(name.clone());
        let inner = |e: Error| e.within(&format!("{}({name})", place.at));
        let audience = Node::parse(text).and_then(|node| Audience::read_at(node, zone, self, depth + 1));
        self.open.borrow_mut().pop();
        let audience = audience.map_err(inner)?;
        Ok((name, audience))
    }
}
