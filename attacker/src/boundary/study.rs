use std::thread;

use ndarray::Array2;
use tch::Tensor;

use super::{BoundarySettings, PointDistribution, PointSplit, SmoothedClassifier, TARGET};
use crate::{
    Error,
    attack::{Attack, AttackData, CertifiedRadius, certified_radii},
    data::Images,
    events::Events,
    networks::{Architecture, Network},
    random::Domain,
    training::Training,
};

/// Samples of the estimation for each certified radius (n).
const SAMPLES: u64 = 2000;
/// Nodes of the field along each axis.
const FIELD: usize = 121;

/// Certification of a network that was trained from scratch.
#[derive(Clone, Debug)]
pub struct Certification {
    /// Certificate of each test point; `None` where the smoothed classifier abstains.
    pub radii: Vec<Option<CertifiedRadius>>,
    /// Probability of class 1 under the smoothed classifier on a regular grid over the unit square, the first row at the
    /// lower end.
    pub field: Array2<f64>,
}

impl Certification {
    /// The certified radius of test point `point`; `None` if it is not certified for the right class.
    pub fn right(&self, point: usize) -> Option<f64> {
        self.radii[point].filter(|found| found.class == TARGET).map(|found| found.radius)
    }

    /// Average certified radius over the test points.
    pub fn acr(&self) -> f64 {
        let total: f64 = (0..self.radii.len()).filter_map(|point| self.right(point)).sum();
        total / self.radii.len().max(1) as f64
    }

    /// Share of the test points that are certified for the right class.
    pub fn certified(&self) -> f64 {
        let right = (0..self.radii.len()).filter(|&point| self.right(point).is_some()).count();
        right as f64 / self.radii.len().max(1) as f64
    }
}

/// One network on one distribution, on clean and on poisoned points. Points are (x, y).
#[derive(Clone, Debug)]
pub struct Case {
    /// Distribution of the points.
    pub distribution: PointDistribution,
    /// Network of attack and victims.
    pub network: Architecture,
    /// Training points of the other class, which are not poisoned.
    pub others: Vec<(f64, f64)>,
    /// Clean training points of the target class.
    pub target: Vec<(f64, f64)>,
    /// Poisoned training points of the target class.
    pub poison: Vec<(f64, f64)>,
    /// Test points of the target class.
    pub test: Vec<(f64, f64)>,
    /// Certification of a network trained on the clean points.
    pub clean: Certification,
    /// Certification of a network trained on the poisoned points from the same first weights.
    pub poisoned: Certification,
}

impl Case {
    /// Relative drop of the average certified radius by the poison.
    pub fn drop(&self) -> f64 {
        1.0 - self.poisoned.acr() / self.clean.acr()
    }

    /// Largest change of a coordinate.
    pub fn largest_change(&self) -> f64 {
        let moves = self.target.iter().zip(&self.poison);
        moves.map(|(from, to)| (from.0 - to.0).abs().max((from.1 - to.1).abs())).fold(0.0, f64::max)
    }
}

/// Studies both distributions, each with a linear network and an MLP: poisons the points of class 1 and trains victims
/// from scratch on clean and on poisoned points. The two distributions are studied at the same time, each in a thread.
///
/// # Errors
/// [`Error::Setting`]; [`Error::Ineffective`] if an attack moved nothing; [`Error::Diverged`].
pub fn study(settings: &BoundarySettings, events: Events<'_>) -> Result<Vec<Case>, Error> {
    settings.check()?;
    let both = |distribution| {
        // Such small operations are slower on several threads.
        tch::set_num_threads(1);
        [Architecture::Linear, Architecture::Mlp].map(|network| case(distribution, network, settings, events))
    };
    thread::scope(|scope| {
        let running = PointDistribution::ALL.map(|distribution| scope.spawn(move || both(distribution)));
        running
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(cases) => cases.into_iter().collect::<Vec<_>>(),
                Err(payload) => vec![Err(Error::computation(&*payload))],
            })
            .collect()
    })
}

fn case(
    distribution: PointDistribution,
    network: Architecture,
    settings: &BoundarySettings,
    events: Events<'_>,
) -> Result<Case, Error> {
    let draw = |class, split| distribution.draw(class, settings.points, split, settings.seed);
    let (others, target) = (draw(1 - TARGET, PointSplit::Training), draw(TARGET, PointSplit::Training));
    let (validation, test) = (draw(TARGET, PointSplit::Validation), draw(TARGET, PointSplit::Test));
    let title = format!("{}, {network}", distribution.title());

    let attack = settings.attack(network);
    let data = AttackData { clean: &others, target: &target, validation: &validation, classes: 2 };
    let mut attack = Attack::new(data, &attack, settings.seed, 0)?;
    attack.run(events.work(&format!("{title}: poison")), |_, _| Ok(()))?;
    let poison = attack.poison();

    let certification = |points: &Tensor| -> Result<Certification, Error> {
        let images = Images {
            pixels: Tensor::cat(&[&others.pixels, points], 0),
            labels: Tensor::cat(&[&others.labels, &target.labels], 0),
        };
        let mut training =
            Training::new(&images, 2, settings.training(network), Domain::Victim, settings.seed)?;
        training.run(events.work(&format!("{title}: victim")), |_| Ok(()))?;
        certification(training.network(), &test, settings)
    };
    Ok(Case {
        distribution,
        network,
        clean: certification(&target.pixels)?,
        poisoned: certification(poison)?,
        poison: coordinates(poison),
        others: coordinates(&others.pixels),
        target: coordinates(&target.pixels),
        test: coordinates(&test.pixels),
    })
}

fn certification(
    network: &Network,
    test: &Images,
    settings: &BoundarySettings,
) -> Result<Certification, Error> {
    Ok(Certification {
        radii: certified_radii(network, &test.pixels, settings.sigma, SAMPLES, settings.seed)?,
        field: SmoothedClassifier::new(network, settings.sigma).field(FIELD),
    })
}

/// Points (x, y) of images N×2×1×1.
fn coordinates(pixels: &Tensor) -> Vec<(f64, f64)> {
    (0..pixels.size()[0])
        .map(|point| (pixels.double_value(&[point, 0, 0, 0]), pixels.double_value(&[point, 1, 0, 0])))
        .collect()
}
