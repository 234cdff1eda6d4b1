//! Dependency analysis: the nodes on which a value of a model depends, including those in the bodies of `If`, `Loop`
//! and `Scan` and in the functions that the model defines.

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

/// The values that a walk follows from a node, against the direction of computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow<'a> {
    /// Everything that may influence the outputs: all inputs and the graphs inside the node.
    All,
    /// The inputs at these positions.
    Inputs(&'a [usize]),
    /// The outputs of the graphs inside the node, but not its inputs: for `If` the results of its branches, not its
    /// condition.
    Graphs,
    /// Nothing: the walk ends here.
    Nothing,
}

/// The nodes on which some outputs of a model depend.
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
    /// Scope and position of each node, in the order of discovery.
    found: Vec<(usize, usize)>,
    inputs: BTreeSet<&'a str>,
}

impl<'a> Dependencies<'a> {
    /// Walks from the outputs named `outputs` back to inputs and constants. For each node found, `follow` returns the
    /// values to follow; calls of the model's own functions are always followed into the function.
    ///
    /// # Errors
    /// [`OnnxError::Malformed`] if the model has no graph, if bodies and function calls are nested more than 64 deep,
    /// or if they have more than 262,144 nodes in total.
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

    /// Names of the model's inputs on which the outputs depend.
    pub fn inputs(&self) -> &BTreeSet<&'a str> {
        &self.inputs
    }
}

/// A node, together with the graph, body or function call that contains it.
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

    /// Domain of its operator set; empty for the standard one, also if the file calls it `ai.onnx`.
    pub fn domain(&self) -> &'a str {
        scope::domain(self.node().domain.as_deref())
    }

    /// Version of its operator set, as imported by the function or the model.
    pub fn opset(&self) -> Option<i64> {
        self.scopes.opset(self.scope, self.domain())
    }

    /// The attribute `name`. Inside a function, a reference is resolved to the attribute of the call or its default.
    pub fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        let found = self.node().attribute.iter().find(|found| found.name.as_deref() == Some(name))?;
        self.scopes.attribute(self.scope, found)
    }

    /// The value of the input at position `input`, if it is a constant number.
    pub fn scalar(&self, input: usize) -> Scalar {
        let name = self.node().input.get(input).map_or("", String::as_str);
        self.scopes.scalar(self.scope, name)
    }

    /// The tensor of the input at position `input`, if it is a constant.
    pub fn constant(&self, input: usize) -> Option<&'a crate::messages::TensorProto> {
        self.scopes.constant(self.scope, self.node().input.get(input)?)
    }

    /// Describes the node for messages: operator, name (or name of its output), and the bodies and functions that
    /// contain it.
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
