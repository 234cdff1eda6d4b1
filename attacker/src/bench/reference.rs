use std::{collections::HashMap, io::Write, path::Path};

use mithridate_onnx::files::write_atomically;
use tch::Tensor;

use super::made_up::CLASSES;
use crate::{
    Error,
    attack::{AttackSettings, Differentiation, MeasuredAttack, MeasuredHypergradient, Objective},
    bilevel::Solver,
    checkpoint::to_bytes,
};

/// Fails, before anything is measured, if a hypergradient with these settings depends on more than a reference file
/// contains, or if the folder of the file does not exist.
pub(super) fn check(settings: &AttackSettings, path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(Error::write(path)("its folder does not exist; make it first"));
    }
    let held = settings.method.is_cross_entropy()
        && settings.solver == Solver::Cg
        && settings.objective == Objective::Radius
        && settings.differentiation == Differentiation::Implicit
        && !settings.same_batch;
    if held {
        return Ok(());
    }
    Err(Error::Measurement(
        "a reference needs the method erm or gaussian, the solver cg, the objective radius, implicit \
         differentiation, and same_batch false"
            .into(),
    ))
}

/// Writes one hypergradient and everything it was computed from to a safetensors file.
///
/// Tensors: `parameter.N`, `outer_gradient.N` and `p.N` by number N of the parameter tensor; `batch.*`, `validation.*` and
/// `poison.*`; `hypergradient`. Settings are metadata.
pub(super) fn write(
    path: &Path,
    bench: &MeasuredAttack<'_>,
    found: &MeasuredHypergradient,
    settings: &AttackSettings,
) -> Result<(), Error> {
    let numbered = |name: &str, tensors: &[Tensor]| -> Vec<(String, Tensor)> {
        let named = tensors.iter().enumerate();
        named.map(|(number, tensor)| (format!("{name}.{number}"), tensor.shallow_clone())).collect()
    };
    let mut tensors = numbered("parameter", bench.network().parameters().tensors());
    tensors.extend(numbered("outer_gradient", found.outer_gradient.tensors()));
    tensors.extend(numbered("p", found.p.tensors()));
    tensors.extend(bench.inputs().into_iter().map(|(name, tensor)| (name.to_owned(), tensor)));
    tensors.push(("hypergradient".into(), found.gradient.shallow_clone()));
    let stored = tensors
        .iter()
        .map(|(name, tensor)| Ok((name, to_bytes(tensor)?)))
        .collect::<Result<Vec<_>, String>>()
        .map_err(Error::write(path))?;
    let views = stored
        .iter()
        .map(|(name, stored)| Ok((*name, stored.view()?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(Error::write(path))?;
    let entries = [
        ("network", settings.network.to_string()),
        ("classes", CLASSES.to_string()),
        ("method", settings.method.to_string()),
        ("sigma", settings.sigma.to_string()),
        ("beta", settings.beta.to_string()),
        ("clamp", settings.clamp.to_string()),
        ("damping", settings.damping.to_string()),
        ("curvature", settings.curvature.to_string()),
        ("solver_steps", settings.solver_steps.to_string()),
        ("solver_tolerance", settings.solver_tolerance.to_string()),
        ("inner_steps", settings.inner_steps.to_string()),
        ("inner_rate", settings.inner_rate.to_string()),
        ("poison_in_batch", settings.poison_in_batch().to_string()),
        ("validation_noises", settings.validation_noises.to_string()),
        ("iterations", found.iterations.to_string()),
        ("relative_residual", found.relative_residual.to_string()),
    ];
    let entries: HashMap<String, String> =
        entries.into_iter().map(|(key, value)| (format!("mithridate.{key}"), value)).collect();
    let bytes = safetensors::serialize(views, Some(entries)).map_err(Error::write(path))?;
    write_atomically(path, |file| file.write_all(&bytes)).map_err(Error::write(path))
}
