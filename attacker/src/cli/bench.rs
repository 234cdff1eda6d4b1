use std::path::PathBuf;

use clap::Args;
use mithridate_runtime::{evidence::Machine, terminal, units::parse_count};
use serde_json::json;
use toml::Value;

use super::{
    arguments::{DeviceArguments, one_of, whole},
    settings::{SettingsArguments, number, value},
};
use crate::{
    attack::{AttackSettings, Curvature},
    bench::{BenchReport, BenchSettings, Milliseconds, measure},
    bilevel::Solver,
    networks::Architecture,
    resolve::{attack_settings, parse_toml},
    training::Method,
};

#[derive(Args)]
#[command(after_help = "Example:
  pacd bench --network lenet --method gaussian --device cpu

Images are made up: 1x28x28, or 3x32x32 for residual networks. Times are medians in milliseconds.
Linear solves make all their iterations (solver_tolerance = 0) unless a setting says otherwise.")]
pub(super) struct Arguments {
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    settings: SettingsArguments,
    #[arg(long, value_name = "NETWORK", help = one_of("Network attacked", Architecture::ALL, Some(Architecture::LeNet)))]
    network: Option<Architecture>,
    #[arg(long, value_name = "METHOD", help = one_of("Training method attacked", Method::ALL, Some(Method::Gaussian)))]
    method: Option<Method>,
    #[arg(long, value_name = "MATRIX", help = one_of("Matrix of the linear system", Curvature::ALL, Some(Curvature::GaussNewton)))]
    curvature: Option<Curvature>,
    #[arg(long, value_name = "SOLVER", help = one_of("Linear solver", Solver::ALL, Some(Solver::Cg)))]
    solver: Option<Solver>,
    /// Iterations of a linear solve [default: 10]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    solver_steps: Option<usize>,
    /// Images in a batch of the lower level [default: 200]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    batch: Option<usize>,
    /// Poison images moved in a step
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = parse_count::<usize>)]
    images: usize,
    /// Images in a batch of the upper level [default: 60]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    validation_batch: Option<usize>,
    /// Noisy copies of each of these images [default: 16]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    validation_noises: Option<usize>,
    /// Number of measurements of each part
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = parse_count::<usize>)]
    repeats: usize,
    /// Write one hypergradient, and all tensors it is computed from, to a safetensors file, to check other implementations
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let attack = settings(arguments)?;
    let settings = BenchSettings { attack, images: arguments.images, repeats: arguments.repeats };
    let device = arguments.device.prepare()?;
    let report = measure(&settings, device, arguments.reference.as_deref())?;
    let text = if arguments.json {
        format!("{:#}\n", document(arguments, &settings, &report))
    } else {
        table(arguments, &settings, &report)
    };
    Ok(terminal::print(&text)?)
}

fn settings(arguments: &Arguments) -> anyhow::Result<AttackSettings> {
    let flags = [
        ("network", value(arguments.network)),
        ("method", value(arguments.method)),
        ("curvature", value(arguments.curvature)),
        ("solver", value(arguments.solver)),
        ("solver_steps", number(arguments.solver_steps)),
        ("batch", number(arguments.batch)),
        ("validation_batch", number(arguments.validation_batch)),
        ("validation_noises", number(arguments.validation_noises)),
    ];
    let check = |text: &str| parse_toml::<AttackSettings>(text).map(|_| ());
    let mut table = arguments.settings.table(&flags, check)?;
    table.entry("solver_tolerance").or_insert(Value::Float(0.0));
    attack_settings(&table).map_err(anyhow::Error::msg)
}

fn document(arguments: &Arguments, settings: &BenchSettings, report: &BenchReport) -> serde_json::Value {
    let attack = &settings.attack;
    json!({
        "device": arguments.device.device.to_string(),
        "machine": Machine::this(),
        "threads": tch::get_num_threads(),
        "repeats": settings.repeats,
        "network": attack.network,
        "method": attack.method,
        "curvature": attack.curvature,
        "solver": attack.solver,
        "solver_steps": attack.solver_steps,
        "batch": attack.batch,
        "inner_steps": attack.inner_steps,
        "validation_batch": attack.validation_batch,
        "validation_noises": attack.validation_noises,
        "report": report,
    })
}

fn table(arguments: &Arguments, settings: &BenchSettings, report: &BenchReport) -> String {
    let attack = &settings.attack;
    let Milliseconds {
        training_step,
        hypergradient,
        outer_gradient,
        inner_graph,
        product,
        solve,
        mixed_product,
        attack_step,
        noise,
    } = report.milliseconds;
    let [channels, height, width] = report.image_shape;
    let (machine, threads) = (Machine::this(), tch::get_num_threads());
    let mut text = format!(
        "{} ({} parameters) on {channels}x{height}x{width} images, {}, {} by {}\n\
         {} on {}, {threads} threads; median of {}\n\
         milliseconds\n",
        attack.network,
        report.parameters,
        attack.method,
        attack.curvature,
        attack.solver,
        arguments.device.device,
        machine.processor,
        settings.repeats,
    );
    let images = report.images;
    let rows = [
        (
            "training step",
            Some(training_step),
            format!("batch {}; {:.0} images/s", attack.batch, report.training_images_per_second),
        ),
        (
            "hypergradient",
            Some(hypergradient),
            format!("{images} images; {:.0} images/s", report.hypergradient_images_per_second),
        ),
        (
            "- outer gradient",
            outer_gradient,
            format!("{} images x {} noises", attack.validation_batch, attack.validation_noises),
        ),
        ("- inner graph", inner_graph, "once".into()),
        (
            "- linear solve",
            solve,
            format!(
                "{} iterations, {} products, relative residual {:.1e}",
                report.iterations, report.products, report.relative_residual
            ),
        ),
        ("  - one product", product, String::new()),
        ("- mixed product", mixed_product, format!("{images} images")),
        ("- its noise", Some(noise), "drawn alone".into()),
        (
            "attack step",
            Some(attack_step),
            format!("{} training steps, a hypergradient, the poison moved", attack.inner_steps),
        ),
    ];
    for (name, time, note) in rows {
        if let Some(time) = time {
            let row = format!("  {name:<18}{time:>10.3}  {note}");
            text.push_str(row.trim_end());
            text.push('\n');
        }
    }
    text
}
