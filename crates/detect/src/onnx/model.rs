//! A model, read and held to its limits.

use std::sync::Arc;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{Cost, Factoid, Framework};

use crate::{Error, Result, limits};

/// Operators that models may use. All of them take a time that the shapes alone say, and none makes more of its inputs than
/// their shapes combined: no loops, no branches, nothing that draws random numbers or reads a file.
const OPERATORS: [&str; 66] = [
    "Abs",
    "Add",
    "ArgMax",
    "ArgMin",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Cos",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Flatten",
    "Floor",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "Identity",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mul",
    "Neg",
    "PRelu",
    "Pow",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Selu",
    "Sigmoid",
    "Sin",
    "Slice",
    "Softmax",
    "Softplus",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
];

/// A user's model, ready to run. Cheap to clone; any number of series share one.
#[derive(Clone, Debug)]
pub struct Model {
    plan: Arc<TypedRunnableModel>,
    inputs: usize,
    shape: Vec<usize>,
}

impl Model {
    /// Reads a model from the bytes of an ONNX file, and tries it once.
    ///
    /// The limits protect from mistakes, not from malice: who may set a model may stop the server.
    ///
    /// # Errors
    /// [`Error::Model`] says what is wrong with it: it is too large, uses an operator that is not allowed, has another shape than
    /// the contract's, takes too many steps, or cannot be read.
    pub fn load(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > limits::MODEL_BYTES {
            let (found, most) = (bytes.len(), limits::MODEL_BYTES);
            return refused(format!("it has {found} bytes, {most} are allowed"));
        }
        let onnx = tract_onnx::onnx();
        let proto = onnx.proto_model_for_read(&mut &*bytes).map_err(unreadable)?;
        check_operators(&proto)?;
        let model = onnx.model_for_proto_model(&proto).map_err(unreadable)?;
        let shape = input_shape(&model)?;
        let fact = InferenceFact::dt_shape(f32::datum_type(), &shape);
        let model =
            model.with_input_fact(0, fact).and_then(|model| model.into_typed()).map_err(unreadable)?;
        check_shapes(&model)?;
        let model = model.into_optimized().map_err(unreadable)?;
        check_shapes(&model)?;
        check_steps(&model)?;
        let plan = model.into_runnable().map_err(unreadable)?;
        let model = Self { plan, inputs: shape.iter().product(), shape };
        model.run(&vec![0.0; model.inputs])?;
        Ok(model)
    }

    /// How many values it takes.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Runs it on as many values as it takes.
    pub(super) fn run(&self, input: &[f32]) -> Result<f64> {
        let tensor = Tensor::from_shape(&self.shape, input).map_err(failed)?;
        let outputs = self.plan.run(tvec!(tensor.into())).map_err(failed)?;
        let output = outputs.first().ok_or_else(|| Error::Model("it put out nothing".into()))?;
        let output = output.cast_to::<f32>().map_err(failed)?;
        let value = output.try_as_plain_ram().and_then(|view| Ok(view.as_slice::<f32>()?.first().copied()));
        value.map_err(failed)?.map(f64::from).ok_or_else(|| Error::Model("its output is empty".into()))
    }
}

fn check_operators(proto: &ModelProto) -> Result<()> {
    let Some(graph) = &proto.graph else {
        return refused("it has no graph".into());
    };
    if graph.node.len() > limits::MODEL_NODES {
        let (found, most) = (graph.node.len(), limits::MODEL_NODES);
        return refused(format!("it has {found} nodes, {most} are allowed"));
    }
    let known = |operator: &str| OPERATORS.contains(&operator);
    if let Some(node) = graph.node.iter().find(|node| !known(&node.op_type)) {
        return refused(format!("it uses the operator {:?}, which is not among those allowed", node.op_type));
    }
    if graph.initializer.iter().any(|tensor| !tensor.external_data.is_empty()) {
        return refused("its weights are in another file: save it with its weights inside".into());
    }
    Ok(())
}

/// `[1, N]` or `[N]`; a first dimension that is left open counts as 1.
fn input_shape(model: &InferenceModel) -> Result<Vec<usize>> {
    let inputs = model.input_outlets().map_err(unreadable)?.len();
    if inputs != 1 {
        return refused(format!("it has {inputs} inputs, one is allowed"));
    }
    let shape = &model.input_fact(0).map_err(unreadable)?.shape;
    let dims: Vec<Option<i64>> =
        shape.dims().map(|dim| dim.concretize().and_then(|dim| dim.to_i64().ok())).collect();
    let (batch, values) = match dims[..] {
        [values] => (None, values),
        [batch, values] => (Some(batch.unwrap_or(1)), values),
        _ => (Some(0), None),
    };
    match values {
        Some(values)
            if (1..=i64::from(limits::WINDOW)).contains(&values) && batch.is_none_or(|batch| batch == 1) =>
        {
            Ok(batch.map(|_| 1).into_iter().chain([values as usize]).collect())
        }
        _ => {
            refused(format!("its input is {shape:?}, and must be [1, N] with N from 1 to {}", limits::WINDOW))
        }
    }
}

/// Every tensor must have a size that is known and allowed, and the output one number.
fn check_shapes(model: &TypedModel) -> Result<()> {
    let elements = |fact: &TypedFact| fact.shape.volume().to_i64().ok();
    for node in model.nodes() {
        for output in &node.outputs {
            match elements(&output.fact) {
                Some(found) if found <= limits::MODEL_ELEMENTS => {}
                _ => {
                    return refused(format!(
                        "the output of {:?} is too large, or of no fixed size",
                        node.name
                    ));
                }
            }
        }
    }
    let outputs = model.output_outlets().map_err(unreadable)?.len();
    let fact = model.output_fact(0).map_err(unreadable)?;
    if outputs != 1 || elements(fact) != Some(1) {
        return refused(format!(
            "it puts out {outputs} tensors, the first {:?}, and must put out one number",
            fact.shape
        ));
    }
    Ok(())
}

/// How long it takes, by the multiplications, divisions and such that its operators say they make, and the numbers they write.
fn check_steps(model: &TypedModel) -> Result<()> {
    let mut steps = 0i64;
    for node in model.nodes() {
        let inputs = model.node_input_facts(node.id).map_err(unreadable)?;
        for (cost, count) in node.op.cost(&inputs).map_err(unreadable)? {
            if Cost::is_compute(&cost) {
                steps = steps.saturating_add(count.to_i64().unwrap_or(i64::MAX));
            }
        }
        let written =
            node.outputs.iter().map(|output| output.fact.shape.volume().to_i64().unwrap_or(i64::MAX));
        steps = written.fold(steps, i64::saturating_add);
    }
    if steps > limits::MODEL_STEPS {
        return refused(format!("a run takes {steps} steps, {} are allowed", limits::MODEL_STEPS));
    }
    Ok(())
}

fn refused<T>(why: String) -> Result<T> {
    Err(Error::Model(why))
}

/// The whole chain of causes, in a line.
fn unreadable(error: TractError) -> Error {
    Error::Model(format!("it cannot be read: {error:#}"))
}

fn failed(error: TractError) -> Error {
    Error::Model(format!("it failed: {error:#}"))
}
