//! Which nodes a value of a model depends on: in its graph, in the bodies of `If`, `Loop` and `Scan`, and in the functions
//! that the model defines.

mod scope;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use scope::Scalar;
use scope::{Scope, Scopes};

use crate::{
    OnnxError,
    messages::{AttributeProto, ModelProto, NodeProto},
};

/// What a walk follows from a node on, back to where its outputs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow<'a> {
    /// Everything that may influence the outputs: all inputs, and the graphs within the node.
    All,
    /// These inputs.
    Inputs(&'a [usize]),
    /// The outputs of the graphs within the node, but not its inputs: what `If` passes on, but not what it decides by.
    Graphs,
    /// Nothing: the outputs are made here.
    Nothing,
}

/// The nodes that some outputs of a model depend on.
///
/// ```
/// use mithridate_onnx::{Dependencies, Dim, ElementType, Follow, GraphBuilder, ModelMetadata};
///
/// let mut graph = GraphBuilder::new("two outputs");
/// let image = graph.input("image", ElementType::Float, &[Dim::symbolic("n"), Dim::Fixed(4)])?;
/// let first = graph.relu(&image);
/// let second = graph.operator("Exp", &[&image], Vec::new(), ElementType::Float, image.shape().to_vec());
/// let model = graph.finish(&[("first", &first), ("second", &second)], &ModelMetadata::default())?;
///
/// let found = Dependencies::of(&model, &["first"], |_| Follow::All)?;
/// let operators: Vec<&str> = found.nodes().map(|node| node.operator()).collect();
/// assert_eq!(operators, ["Relu"]);
/// assert!(found.inputs().contains("image"));
/// # Ok::<(), mithridate_onnx::OnnxError>(())
/// ```
#[derive(Debug)]
pub struct Dependencies<'a> {
    scopes: Scopes<'a>,
    /// Scope and position of each node, in the order in which they were found.
    found: Vec<(usize, usize)>,
    inputs: BTreeSet<&'a str>,
}

impl<'a> Dependencies<'a> {
    /// Walks from outputs of a model back to its inputs and constants. `follow` says, for each node that is found, where
    /// the walk goes on; calls of the model's own functions are followed into the function whatever it says.
    ///
    /// # Errors
    /// [`OnnxError::Malformed`] for a model without a graph, and for one whose functions call each other without end or
    /// so often that the nodes would be more than 262,144.
    pub fn of(
        model: &'a ModelProto,
        outputs: &[&'a str],
        follow: impl FnMut(&Dependency<'_, 'a>) -> Follow<'static>,
    ) -> Result<Self, OnnxError> {
        walk::walk(model, outputs, follow)
    }

    /// The nodes, nearest to the outputs first.
    pub fn nodes(&self) -> impl Iterator<Item = Dependency<'_, 'a>> {
        self.found.iter().map(|&(scope, at)| Dependency { scopes: &self.scopes, scope, at })
    }

    /// Names of the model's inputs that the outputs depend on.
    pub fn inputs(&self) -> &BTreeSet<&'a str> {
        &self.inputs
    }
}

/// A node in the graph, body or function that it stands in.
#[derive(Clone, Copy, Debug)]
pub struct Dependency<'s, 'a> {
    scopes: &'s Scopes<'a>,
    scope: usize,
    at: usize,
}

impl<'a> Dependency<'_, 'a> {
    fn own(&self) -> &Scope<'a> {
        self.scopes.get(self.scope)
    }

    /// The node itself.
    pub fn node(&self) -> &'a NodeProto {
        &self.own().nodes[self.at]
    }

    /// Its operator, such as `Conv`.
    pub fn operator(&self) -> &'a str {
        self.node().op_type.as_deref().unwrap_or_default()
    }

    /// The operator set that the operator is from; `""` for the standard one, also where it is called `ai.onnx`.
    pub fn domain(&self) -> &'a str {
        scope::domain(self.node().domain.as_deref())
    }

    /// Version of the node's operator set, as its model or function imports it.
    pub fn opset(&self) -> Option<i64> {
        self.scopes.opset(self.scope, self.domain())
    }

    /// An attribute. Within a function it may stand for one of the call, or have a default there.
    pub fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        let found = self.node().attribute.iter().find(|found| found.name.as_deref() == Some(name))?;
        self.scopes.attribute(self.scope, found)
    }

    /// The number that one of the node's inputs is, as far as constants tell.
    pub fn scalar(&self, input: usize) -> Scalar {
        let name = self.node().input.get(input).map_or("", String::as_str);
        self.scopes.scalar(self.scope, name)
    }

    /// The tensor that one of the node's inputs is, if it is a constant.
    pub fn constant(&self, input: usize) -> Option<&'a crate::messages::TensorProto> {
        self.scopes.constant(self.scope, self.node().input.get(input)?)
    }

    /// The node in words: its name or that of its output, its operator, and the bodies and functions that it is in.
    pub fn describe(&self) -> String {
        let mut text = scope::name_of(self.node());
        let mut scope = self.own();
        while let Some(outer) = &scope.outer {
            let node = &self.scopes.get(outer.scope).nodes[outer.node];
            text += &match scope.function {
                Some(function) => {
                    format!(", in the function {}", function.name.as_deref().unwrap_or_default())
                }
                None => format!(", in the body of {}", scope::name_of(node)),
            };
            scope = self.scopes.get(outer.scope);
        }
        text
    }
}
