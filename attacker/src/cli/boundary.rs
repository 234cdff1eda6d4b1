use std::{path::PathBuf, time::Instant};

use clap::Args;
use mithridate_runtime::terminal;
use serde_json::json;

use super::{
    arguments::{decimal, one_of, whole},
    screen::Screen,
};
use crate::{
    boundary::{BoundarySettings, Case, Certification, picture, study},
    events::{Event, Events},
    figure,
    training::Method,
};

#[derive(Args)]
#[command(after_help = "Example:
  pacd boundary --out boundary.svg

Points lie in the unit square. The training points of class 1 are poisoned, and test points of class 1 are certified.
Victims are trained from scratch on clean and on poisoned points.")]
pub(super) struct Arguments {
    /// File for the picture, .svg or .png; without an ending both are written
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Standard deviation of the noise of training and certification [default: 0.1]
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true, value_parser = decimal)]
    sigma: Option<f64>,
    /// Largest change of a coordinate of a training point [default: 0.1]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true, value_parser = decimal)]
    epsilon: Option<f64>,
    /// Training points of each class; class 1 has as many validation and test points [default: 60]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    points: Option<usize>,
    #[arg(long, value_name = "METHOD", help = one_of("Training method", Method::ALL, Some(Method::Gaussian)))]
    method: Option<Method>,
    /// Seed of all random numbers [default: 0]
    #[arg(long, value_name = "SEED", value_parser = whole::<u64>)]
    seed: Option<u64>,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let started = Instant::now();
    let default = BoundarySettings::default();
    let settings = BoundarySettings {
        seed: arguments.seed.unwrap_or(default.seed),
        sigma: arguments.sigma.unwrap_or(default.sigma),
        epsilon: arguments.epsilon.unwrap_or(default.epsilon),
        points: arguments.points.unwrap_or(default.points),
        method: arguments.method.unwrap_or(default.method),
    };
    settings.check()?;
    let files = match arguments.out.extension() {
        Some(_) => vec![arguments.out.clone()],
        None => ["svg", "png"].map(|ending| arguments.out.with_extension(ending)).to_vec(),
    };
    for file in &files {
        figure::prepare(file)?;
    }
    // Two cases run at a time.
    terminal::use_plain_lines();
    let screen = Screen::default();
    let show = |event: Event<'_>| screen.show(event);
    let cases = study(&settings, Events::to(&show))?;
    let svg = picture(&cases, &settings)?;
    for file in &files {
        figure::write(file, &svg)?;
    }
    let seconds = started.elapsed().as_secs_f64();
    if arguments.json {
        let document = json!({
            "settings": settings,
            "panels": cases.iter().map(panel).collect::<Vec<_>>(),
            "files": files,
            "seconds": (10.0 * seconds).round() / 10.0,
        });
        return Ok(terminal::print(&format!("{document:#}\n"))?);
    }
    let mut text = format!(
        "{:<11} {:<8} {:>9} {:>12} {:>6}\n",
        "points", "network", "clean ACR", "poisoned ACR", "drop"
    );
    for case in &cases {
        text.push_str(&format!(
            "{:<11} {:<8} {:>9.3} {:>12.3} {:>4.0} %\n",
            case.distribution.title(),
            case.network.name(),
            case.clean.acr(),
            case.poisoned.acr(),
            100.0 * case.drop()
        ));
    }
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    text.push_str(&format!("picture in {}, made in {seconds:.0} seconds\n", files.join(" and ")));
    Ok(terminal::print(&text)?)
}

fn panel(case: &Case) -> serde_json::Value {
    let certification = |certification: &Certification| json!({ "acr": certification.acr(), "certified": certification.certified() });
    json!({
        "points": case.distribution,
        "network": case.network,
        "clean": certification(&case.clean),
        "poisoned": certification(&case.poisoned),
        "drop": case.drop(),
        "largest_change": case.largest_change(),
    })
}
