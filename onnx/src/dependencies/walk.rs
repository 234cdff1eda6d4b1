use std::collections::{BTreeSet, HashMap, HashSet};

use super::{
    Dependencies, Dependency, Follow,
    scope::{Given, Outer, Scope, Scopes, domain},
};
use crate::{
    OnnxError,
    messages::{FunctionProto, GraphProto, ModelProto},
};

/// Largest number of nodes in the bodies and functions that a walk enters. A function counts once for each call.
const MOST_NODES: usize = 1 << 18;
/// Deepest nesting of bodies and function calls.
const MOST_DEPTH: usize = 64;

/// Identifies a body or a call: scope and position of the node, and which of its graphs or functions.
type Inner = (usize, usize, Kind);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Graph(usize),
    Function(usize),
}

struct Walk<'a, F> {
    scopes: Scopes<'a>,
    functions: HashMap<(&'a str, &'a str), Vec<&'a FunctionProto>>,
    inner: HashMap<Inner, usize>,
    /// Values still to be followed.
    wanted: Vec<(usize, &'a str)>,
    seen: HashSet<(usize, &'a str)>,
    nodes: HashSet<(usize, usize)>,
    /// Number of nodes in all bodies and calls entered so far.
    entered: usize,
    found: Vec<(usize, usize)>,
    inputs: BTreeSet<&'a str>,
    follow: F,
}

pub(super) fn walk<'a, F>(
    model: &'a ModelProto,
    outputs: &[&'a str],
    follow: F,
) -> Result<Dependencies<'a>, OnnxError>
where
    F: FnMut(&Dependency<'_, 'a>) -> Follow<'static>,
{
    let graph = model.graph.as_ref().ok_or_else(|| OnnxError::Malformed("it holds no graph".into()))?;
    let mut functions: HashMap<_, Vec<_>> = HashMap::new();
    for function in &model.functions {
        let key = (domain(function.domain.as_deref()), function.name.as_deref().unwrap_or_default());
        functions.entry(key).or_default().push(function);
    }
    let main = Scope::new(&graph.node, Some(graph), None, None, 0);
    let mut walk = Walk {
        scopes: Scopes { model, all: vec![main] },
        functions,
        inner: HashMap::new(),
        wanted: outputs.iter().map(|&name| (0, name)).collect(),
        seen: HashSet::new(),
        nodes: HashSet::new(),
        entered: 0,
        found: Vec::new(),
        inputs: BTreeSet::new(),
        follow,
    };
    while let Some((scope, name)) = walk.wanted.pop() {
        if !name.is_empty() && walk.seen.insert((scope, name)) {
            walk.value(scope, name)?;
        }
    }
    let Walk { scopes, found, inputs, .. } = walk;
    Ok(Dependencies { scopes, found, inputs })
}

impl<'a, F: FnMut(&Dependency<'_, 'a>) -> Follow<'static>> Walk<'a, F> {
    /// Follows a value to the node that computes it, or out of the body or function that it enters from outside.
    fn value(&mut self, scope: usize, name: &'a str) -> Result<(), OnnxError> {
        let own = self.scopes.get(scope);
        if let Some(&at) = own.makers.get(name) {
            return self.node(scope, at, name);
        }
        let Some(outer) = own.outer else {
            if matches!(own.given.get(name), Some(Given::Input)) {
                self.inputs.insert(name);
            }
            return Ok(());
        };
        if let Some(function) = own.function {
            let caller = &self.scopes.get(outer.scope).nodes[outer.node];
            let places = function.input.iter().enumerate().filter(|(_, input)| *input == name);
            let given = places.filter_map(|(at, _)| caller.input.get(at));
            self.wanted.extend(given.map(|name| (outer.scope, name.as_str())));
        } else if !own.given.contains_key(name) {
            self.wanted.push((outer.scope, name));
        }
        Ok(())
    }

    /// Follows the node at position `at`, which computes the value `name`.
    fn node(&mut self, scope: usize, at: usize, name: &'a str) -> Result<(), OnnxError> {
        let is_new = self.nodes.insert((scope, at));
        if is_new {
            self.found.push((scope, at));
        }
        let follow = (self.follow)(&Dependency { scopes: &self.scopes, scope, at });
        let node = &self.scopes.get(scope).nodes[at];
        let number = node.output.iter().position(|output| output == name).unwrap_or_default();
        let own_domain = domain(node.domain.as_deref());
        let key = (own_domain, node.op_type.as_deref().unwrap_or_default());
        let functions = self.functions.get(&key).cloned().unwrap_or_default();
        // If a function of the model has the name of an operator that the engine also has, follow both.
        let is_function = !functions.is_empty() && !matches!(own_domain, "" | "ai.onnx.ml" | "com.microsoft");
        for (which, function) in functions.into_iter().enumerate() {
            let inner = self.enter((scope, at, Kind::Function(which)), |outer, depth| {
                Scope::new(&function.node, None, Some(function), Some(outer), depth)
            })?;
            if let Some(output) = function.output.get(number) {
                self.wanted.push((inner, output));
            }
        }
        if is_function {
            return Ok(());
        }
        let graphs = || -> Vec<&'a GraphProto> {
            let attributes = node.attribute.iter();
            attributes
                .flat_map(|attribute| attribute.g.as_deref().into_iter().chain(&attribute.graphs))
                .collect()
        };
        match follow {
            Follow::Inputs(places) if is_new => {
                let read = places.iter().filter_map(|&place| node.input.get(place));
                self.wanted.extend(read.map(|name| (scope, name.as_str())));
            }
            Follow::Inputs(_) | Follow::Nothing => {}
            Follow::All | Follow::Graphs => {
                if follow == Follow::All && is_new {
                    self.wanted.extend(node.input.iter().map(|name| (scope, name.as_str())));
                }
                let is_if = node.op_type.as_deref() == Some("If");
                for (which, graph) in graphs().into_iter().enumerate() {
                    let inner = self.enter((scope, at, Kind::Graph(which)), |outer, depth| {
                        Scope::new(&graph.node, Some(graph), None, Some(outer), depth)
                    })?;
                    // An output of `If` comes from the same output of its branches; in a loop every output may
                    // influence all.
                    let made =
                        graph.output.iter().enumerate().filter(|(place, _)| !is_if || *place == number);
                    let names = made.filter_map(|(_, output)| output.name.as_deref());
                    self.wanted.extend(names.map(|name| (inner, name)));
                }
            }
        }
        Ok(())
    }

    /// The scope of a body or call, created when it is first entered.
    fn enter(
        &mut self,
        key: Inner,
        make: impl FnOnce(Outer, usize) -> Scope<'a>,
    ) -> Result<usize, OnnxError> {
        if let Some(&inner) = self.inner.get(&key) {
            return Ok(inner);
        }
        let (scope, node, _) = key;
        let depth = self.scopes.get(scope).depth + 1;
        if depth > MOST_DEPTH {
            return Err(OnnxError::Malformed(format!(
                "its functions or graphs are nested more than {MOST_DEPTH} deep"
            )));
        }
        let made = make(Outer { scope, node }, depth);
        self.entered += made.nodes.len();
        if self.entered > MOST_NODES {
            return Err(OnnxError::Malformed(format!(
                "its functions call each other so often that they come to more than {MOST_NODES} nodes"
            )));
        }
        let inner = self.scopes.all.len();
        self.scopes.all.push(made);
        self.inner.insert(key, inner);
        Ok(inner)
    }
}
