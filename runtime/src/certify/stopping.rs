use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// When to stop sampling an input. With every rule, a certificate is valid with probability at least 1 − α, and no
/// input gets more than n estimation samples.
///
/// As text: `fixed`, `radius:0.25,0.5`, `precision:0.05`, `precision:5%`, `deadline:50`, `loss:0.1`.
///
/// ```
/// use mithridate_runtime::certify::StoppingRule;
///
/// let rule: StoppingRule = "radius:0.25,0.5".parse()?;
/// assert_eq!(rule, StoppingRule::Radius(vec![0.25, 0.5]));
/// assert_eq!(rule.to_string(), "radius:0.25,0.5");
/// assert!("radius:-1".parse::<StoppingRule>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StoppingRule {
    /// After n samples, always (Cohen et al. 2019).
    #[default]
    Fixed,
    /// As soon as each of these radii, in data-set units, is certified or given up. A radius is given up if n samples
    /// would certify it with a chance of 0.1 % at most.
    Radius(Vec<f64>),
    /// As soon as n samples would add more than this width to the certified radius with a chance of 0.1 % at most.
    Precision(Width),
    /// When this time in milliseconds has passed since sampling of the input began.
    Deadline(f64),
    /// After a number of samples that is computed from the selection votes, such that the certified radius is expected
    /// to be at most this much smaller, in data-set units, than the radius after n samples.
    Loss(f64),
}

/// How precisely a radius must be known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Width {
    /// In data-set units.
    Absolute(f64),
    /// In percent of the radius.
    Relative(f64),
}

/// The error for text that is not a stopping rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a stopping rule: {problem}; use fixed, radius:R[,R…], precision:T, precision:T%, \
     deadline:MILLISECONDS or loss:C"
)]
pub struct UnknownRule {
    text: String,
    problem: String,
}

impl StoppingRule {
    /// Whether the end of sampling depends on the estimation votes, so that bounds must be valid after every number of
    /// samples.
    pub fn looks_at_votes(&self) -> bool {
        matches!(self, Self::Radius(_) | Self::Precision(_) | Self::Deadline(_))
    }

    /// Whether the number of estimation samples is computed from the selection votes, so that no estimation sample can
    /// be drawn before these are known.
    pub fn waits_for_selection(&self) -> bool {
        matches!(self, Self::Loss(_))
    }

    /// Rough guess of the number of estimation samples of an input, at most `n`, to estimate how long a run takes.
    pub fn expected_samples(&self, n: u64) -> u64 {
        match self {
            Self::Fixed | Self::Loss(_) | Self::Precision(_) => n,
            Self::Radius(_) | Self::Deadline(_) => n / 50,
        }
    }

    /// The reason why certificates are valid with fewer than n samples, as a note beside results; `None` if all inputs
    /// get n samples.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Fixed => None,
            Self::Loss(_) => Some("chosen from the selection votes"),
            Self::Radius(_) | Self::Precision(_) | Self::Deadline(_) => {
                Some("bounds that hold whenever sampling stops")
            }
        }
    }

    /// The time limit of an input if the rule is `deadline`, otherwise `None`.
    pub fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Deadline(milliseconds) => {
                Some(Duration::try_from_secs_f64(milliseconds / 1e3).unwrap_or(Duration::MAX))
            }
            _ => None,
        }
    }
}

/// Parses a finite number above 0.
fn positive(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        Ok(value) => Err(format!("{value} is not a finite number above 0")),
        Err(_) => Err(format!("'{text}' is not a number")),
    }
}

fn parse(text: &str) -> Result<StoppingRule, String> {
    let (name, value) = match text.split_once(':') {
        None => (text, None),
        Some((name, value)) => (name, Some(value)),
    };
    let value = |what: &str| value.ok_or_else(|| format!("{name} needs {what} after a colon"));
    Ok(match name {
        "fixed" if text == name => StoppingRule::Fixed,
        "fixed" => return Err("fixed takes no value".into()),
        "radius" => {
            let mut radii =
                value("one or more radii")?.split(',').map(positive).collect::<Result<Vec<_>, _>>()?;
            radii.sort_by(f64::total_cmp);
            radii.dedup();
            StoppingRule::Radius(radii)
        }
        "precision" => StoppingRule::Precision(match value("a width")?.strip_suffix('%') {
            Some(percent) => match positive(percent)? {
                percent if percent < 100.0 => Width::Relative(percent),
                _ => return Err("the width must be below 100 %".into()),
            },
            None => Width::Absolute(positive(value("a width")?)?),
        }),
        "deadline" => {
            let milliseconds = positive(value("milliseconds")?)?;
            if !(1e-3..=1e9).contains(&milliseconds) {
                return Err("the time must be from 0.001 to 1000000000 milliseconds".into());
            }
            StoppingRule::Deadline(milliseconds)
        }
        "loss" => StoppingRule::Loss(positive(value("a loss of radius")?)?),
        _ => return Err(format!("'{name}' is unknown")),
    })
}

impl FromStr for StoppingRule {
    type Err = UnknownRule;
    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        parse(text).map_err(|problem| UnknownRule { text: text.into(), problem })
    }
}

impl TryFrom<String> for StoppingRule {
    type Error = UnknownRule;
    fn try_from(text: String) -> Result<Self, UnknownRule> {
        text.parse()
    }
}

impl From<StoppingRule> for String {
    fn from(rule: StoppingRule) -> Self {
        rule.to_string()
    }
}

impl fmt::Display for StoppingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed => f.write_str("fixed"),
            Self::Radius(radii) => {
                let radii: Vec<String> = radii.iter().map(f64::to_string).collect();
                write!(f, "radius:{}", radii.join(","))
            }
            Self::Precision(Width::Absolute(width)) => write!(f, "precision:{width}"),
            Self::Precision(Width::Relative(percent)) => write!(f, "precision:{percent}%"),
            Self::Deadline(milliseconds) => write!(f, "deadline:{milliseconds}"),
            Self::Loss(loss) => write!(f, "loss:{loss}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_written() {
        for text in [
            "precision:7%",
            "deadline:0.3",
            "fixed",
            "radius:0.25",
            "radius:0.1,0.2",
            "precision:0.05",
            "precision:5%",
            "deadline:50",
            "deadline:0.5",
            "loss:0.1",
        ] {
            let rule: StoppingRule = text.parse().unwrap();
            assert_eq!(rule.to_string(), text);
            let written = serde_json::to_string(&rule).unwrap();
            assert_eq!(serde_json::from_str::<StoppingRule>(&written).unwrap(), rule);
        }
        assert_eq!("radius:2,1,2".parse(), Ok(StoppingRule::Radius(vec![1.0, 2.0])));
    }

    #[test]
    fn what_is_no_rule_is_told_why() {
        for (text, problem) in [
            ("", "'' is unknown"),
            ("never", "'never' is unknown"),
            ("fixed:1", "fixed takes no value"),
            ("radius", "radius needs one or more radii after a colon"),
            ("radius:", "'' is not a number"),
            ("radius:0.5,x", "'x' is not a number"),
            ("precision:-1", "-1 is not a finite number above 0"),
            ("precision:100%", "the width must be below 100 %"),
            ("loss:nan", "NaN is not a finite number above 0"),
            ("deadline:inf", "inf is not a finite number above 0"),
            ("deadline:1e300", "the time must be from 0.001 to 1000000000 milliseconds"),
            ("deadline:1e-7", "the time must be from 0.001 to 1000000000 milliseconds"),
        ] {
            let error = text.parse::<StoppingRule>().unwrap_err();
            assert_eq!(error.problem, problem, "{text}");
        }
    }
}
