use std::process::ExitCode;

use clap::Args;
use mithridate_runtime::{terminal, units::parse_count};
use serde_json::json;

use super::{
    arguments::{DataArguments, DeviceArguments, whole},
    settings::{AttackFlags, SettingsArguments},
};
use crate::attack::{Agreement, AttackImages, AttackSettings, CheckReport, check};

#[derive(Args)]
#[command(after_help = "Example:
  pacd check --data data/mnist --network mlp --solver minres --solver-steps 30

Runs in double precision on one batch. Exit status 3 if the relative error of a derivative is a thousandth or more.")]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    flags: AttackFlags,
    /// Images in the batch that is checked
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = parse_count::<usize>)]
    check_images: usize,
    /// Largest number of iterations of the reference solution
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = parse_count::<usize>)]
    products: usize,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0, value_name = "SEED", value_parser = whole::<u64>)]
    seed: u64,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let settings = arguments.flags.settings(&arguments.settings)?;
    let training = arguments.data.open(None)?;
    settings.check(training.classes)?;
    let device = arguments.device.prepare()?;
    let images = AttackImages::select(&training, &settings, device);
    let report = check(images.data(), &settings, arguments.check_images, arguments.products, arguments.seed)?;
    let text = if arguments.json {
        format!(
            "{:#}\n",
            json!({ "settings": settings, "report": report, "holds": report.derivatives_hold() })
        )
    } else {
        table(&settings, &report)
    };
    terminal::print(&text)?;
    Ok(if report.derivatives_hold() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn table(settings: &AttackSettings, report: &CheckReport) -> String {
    let AttackSettings { network, method, sigma, curvature, solver, solver_steps, damping, .. } = settings;
    let CheckReport { images, poison, parameters, solve, .. } = report;
    let agreement = |of: &Agreement| {
        format!(
            "off by {:.2e}, cosine {:.4}, {:.1} % of signs alike",
            of.relative_error,
            of.cosine,
            100.0 * of.signs
        )
    };
    let mut text = format!(
        "{network} ({parameters} parameters), {method}, sigma {sigma}; {images} images, {poison} of them poison; double \
         precision\n\
         derivatives against central differences, relative error\n  \
         product with the {curvature} matrix   {:.1e}\n  \
         mixed product                       {:.1e}\n  \
         hypergradient, lower level re-solved {:.1e} (damping {:.3})\n\
         the linear solve as configured: {curvature} by {solver}, at most {solver_steps} iterations, damping {damping}\n  \
         relative residual {:.2e} after {} iterations{}\n  \
         hypergradient against the solution of the same system: {}\n",
        report.curvature_error,
        report.mixed_error,
        report.chain_error,
        report.chain_damping,
        solve.relative_residual,
        solve.iterations,
        if solve.negative_curvature { ", ended by negative curvature" } else { "" },
        agreement(&solve.same_system),
    );
    if let Some(hessian) = &solve.hessian {
        text.push_str(&format!(
            "  hypergradient against the solution with the Hessian: {}\n",
            agreement(hessian)
        ));
    }
    text.push_str(&format!(
        "  (the reference has a residual of {:.1e}{})\n",
        solve.reference_residuals[0],
        if solve.hessian.is_some() {
            format!(", with the Hessian {:.1e}", solve.reference_residuals[1])
        } else {
            String::new()
        }
    ));
    text
}
