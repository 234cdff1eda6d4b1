//! Graphs in few words.

use std::path::Path;

use mithridate_onnx::{
    Dim, ElementType, GraphBuilder, ModelMetadata, OnnxError, Value,
    attributes::{int, ints},
    messages::{AttributeProto, ModelProto},
};
use mithridate_testkit::zoo;
use ndarray::{ArrayD, array};

/// A graph for images of the zoo. Shapes of inner values are not kept: none is written into the file.
pub struct Net {
    graph: GraphBuilder,
    constants: usize,
    /// Further outputs of nodes, by their first, and further inputs.
    outputs: Vec<(String, [String; 2])>,
    inputs: Vec<(String, [String; 2])>,
    /// The input, N×3×4×4.
    pub x: Value,
    /// Logits of the plain classifier, N×5.
    pub y: Value,
}

impl Net {
    /// The plain classifier.
    pub fn new() -> Self {
        Self::after(|_, x| x.clone())
    }

    /// The plain classifier of what is made of its input, N×3×4×4 again.
    pub fn after(change: impl Fn(&mut Self, &Value) -> Value) -> Self {
        let mut graph = GraphBuilder::new("net");
        let x = zoo::image(&mut graph, 0);
        let (outputs, inputs) = (Vec::new(), Vec::new());
        let mut net = Self { graph, constants: 0, outputs, inputs, y: x.clone(), x };
        let input = net.x.clone();
        let changed = change(&mut net, &input);
        net.y = zoo::head(&mut net.graph, &changed);
        net
    }

    /// An operator with one float output; its shape is said to be that of its first input.
    pub fn op(&mut self, operator: &str, inputs: &[&Value], attributes: Vec<AttributeProto>) -> Value {
        self.typed(operator, inputs, attributes, ElementType::Float)
    }

    /// The same for another type.
    pub fn typed(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
        element_type: ElementType,
    ) -> Value {
        let shape = inputs.first().map_or_else(|| self.y.shape().to_vec(), |input| input.shape().to_vec());
        self.graph.operator(operator, inputs, attributes, element_type, shape)
    }

    fn name(&mut self) -> String {
        self.constants += 1;
        format!("constant_{}", self.constants)
    }

    /// A number.
    pub fn number(&mut self, value: f32) -> Value {
        let name = self.name();
        zoo::scalar(&mut self.graph, &name, value)
    }

    /// Numbers, with a shape.
    pub fn numbers(&mut self, shape: &[usize], values: &[f32]) -> Value {
        let name = self.name();
        let values = ArrayD::from_shape_vec(shape, values.to_vec()).unwrap_or_default();
        self.graph.constant(&name, &values.view())
    }

    /// A list of whole numbers.
    pub fn whole(&mut self, values: &[i64]) -> Value {
        let name = self.name();
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.graph
            .tensor(&name, ElementType::Int64, &[values.len() as i64], bytes)
            .unwrap_or_else(|_| self.y.clone())
    }

    /// y plus a number.
    pub fn plus(&mut self, y: &Value, value: f32) -> Value {
        let value = self.number(value);
        self.op("Add", &[y, &value], Vec::new())
    }

    /// y times a number.
    pub fn times(&mut self, y: &Value, value: f32) -> Value {
        let value = self.number(value);
        self.op("Mul", &[y, &value], Vec::new())
    }

    /// The numbers that a `DynamicQuantizeLinear` rounded to 8 bits, of which `rounded` is the first output.
    pub fn dequantised(&mut self, rounded: &Value) -> Value {
        self.outputs.push((
            rounded.name().to_owned(),
            ["step", "zero"].map(|what| format!("{}_{what}", rounded.name())),
        ));
        let values = self.op("DequantizeLinear", &[rounded], Vec::new());
        self.inputs.push((
            values.name().to_owned(),
            ["step", "zero"].map(|what| format!("{}_{what}", rounded.name())),
        ));
        values
    }

    /// Rows, or columns, from one to before another.
    pub fn slice(&mut self, y: &Value, axis: i64, from: i64, to: i64) -> Value {
        let [from, to, axis] = [from, to, axis].map(|value| self.whole(&[value]));
        self.op("Slice", &[y, &from, &to, &axis], Vec::new())
    }

    /// Rows in place of N rows, from one row.
    pub fn repeat(&mut self, row: &Value, like: &Value) -> Value {
        let shape = self.typed("Shape", &[like], Vec::new(), ElementType::Int64);
        self.op("Expand", &[row, &shape], Vec::new())
    }

    /// 1 for each row in which a value is more than a number, else 0; N×1.
    pub fn is_more(&mut self, rows: &Value, than: f32) -> Value {
        let than = self.number(than);
        let is_more = self.typed("Greater", &[rows, &than], Vec::new(), ElementType::Bool);
        self.op("Cast", &[&is_more], vec![int("to", 1)])
    }

    /// The largest of the size of each input's values, N×1.
    pub fn largest(&mut self) -> Value {
        let x = self.x.clone();
        let size = self.op("Abs", &[&x], Vec::new());
        let flat = self.op("Flatten", &[&size], vec![int("axis", 1)]);
        self.op("ReduceMax", &[&flat], vec![ints("axes", &[1])])
    }

    /// The standard deviation of each input's values, N×1.
    pub fn deviation(&mut self) -> Value {
        let x = self.x.clone();
        let flat = self.op("Flatten", &[&x], vec![int("axis", 1)]);
        let mean = self.op("ReduceMean", &[&flat], vec![ints("axes", &[1])]);
        let centred = self.op("Sub", &[&flat, &mean], Vec::new());
        let squares = self.op("Mul", &[&centred, &centred], Vec::new());
        let variance = self.op("ReduceMean", &[&squares], vec![ints("axes", &[1])]);
        self.op("Sqrt", &[&variance], Vec::new())
    }

    /// The model with these outputs, each N×columns.
    pub fn end_with(self, outputs: &[(&str, &Value)]) -> ModelProto {
        self.end_as(outputs, &ModelMetadata::default())
    }

    /// The model with metadata.
    pub fn end_as(self, outputs: &[(&str, &Value)], metadata: &ModelMetadata) -> ModelProto {
        let mut model = self.graph.finish(outputs, metadata).unwrap_or_default();
        for node in model.graph.iter_mut().flat_map(|graph| &mut graph.node) {
            let first = node.output.first().cloned();
            let of = |list: &[(String, [String; 2])]| {
                list.iter()
                    .filter(|(name, _)| Some(name) == first.as_ref())
                    .flat_map(|(_, more)| more.clone())
                    .collect::<Vec<_>>()
            };
            node.input.extend(of(&self.inputs));
            node.output.extend(of(&self.outputs));
        }
        // What shape an output has is left to the engine.
        for output in model.graph.iter_mut().flat_map(|graph| &mut graph.output) {
            let value = output.r#type.as_mut().and_then(|kind| kind.value.as_mut());
            if let Some(mithridate_onnx::messages::TypeValue::Tensor(tensor)) = value {
                tensor.shape = None;
            }
        }
        model
    }

    /// The model with one output.
    pub fn end(self, y: &Value) -> ModelProto {
        self.end_with(&[("logits", y)])
    }
}

/// Writes the classifier of one value that answers the first class above ½.
///
/// # Errors
/// If it can't be written.
pub fn write_linear(path: &Path) -> Result<(), OnnxError> {
    let mut graph = GraphBuilder::new("linear");
    let flat = graph.input("image", ElementType::Float, &[Dim::symbolic("n"), Dim::Fixed(1)])?;
    let weight = graph.constant("weight", &array![[1.0_f32], [-1.0]].view().into_dyn());
    let bias = graph.constant("bias", &array![-0.5_f32, 0.5].view().into_dyn());
    let logits = graph.linear(&flat, &weight, Some(&bias))?;
    mithridate_onnx::write(&graph.finish(&[("logits", &logits)], &ModelMetadata::default())?, path)
}
