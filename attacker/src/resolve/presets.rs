use crate::{
    attack::{AttackSettings, Curvature, PoisonStep},
    bilevel::Solver,
    networks::Architecture,
    training::{MacerSettings, Method, Preset, SmoothAdvSettings, TrainingSettings},
};

/// Settings of the attack against a training method, from a preset.
///
/// Settings are published for `gaussian`, `macer` and `smoothadv`. Other methods get those of `gaussian`.
pub fn attack_preset(preset: Preset, method: Method) -> AttackSettings {
    if preset == Preset::Default {
        return AttackSettings { method, ..AttackSettings::default() };
    }
    let mnist = preset == Preset::OfficialMnist;
    let smoothadv = method == Method::SmoothAdv;
    let augmented = !mnist && !smoothadv;
    let (epochs, renewal) = if smoothadv { (100, 20) } else { (50, 10) };
    let (noises, lambda) = if mnist { (1, 1.0) } else { (2, 2.0) };
    AttackSettings {
        preset,
        epsilon: if mnist { 0.1 } else { 0.03 },
        method,
        network: if mnist { Architecture::LeNet } else { Architecture::ResNet20 },
        smoothadv: SmoothAdvSettings { radius: 1.0, steps: 2, noises: 1, warm_up: 5 },
        macer: MacerSettings { noises, lambda, beta: 16.0, gamma: 8.0, clamp: 1e-3 },
        crop: if augmented { 4 } else { 0 },
        flip: augmented,
        frozen_bn: true,
        inner_steps: if smoothadv { 1 } else { 10 },
        inner_rate: 1e-3,
        batch: if mnist { 1000 } else { 200 },
        batch_share: 0.1,
        validation_batch: if mnist { 100 } else { 20 },
        validation_noises: if mnist { 20 } else { 5 },
        beta: 16.0,
        clamp: if mnist && smoothadv { 1e-4 } else { 1e-3 },
        curvature: Curvature::Hessian,
        solver: Solver::LeastSquaresAdam,
        solver_steps: 10,
        solver_tolerance: 0.0,
        solver_rate: match method {
            Method::Macer => 1e-4,
            Method::Gaussian | Method::Erm if mnist => 1e-2,
            _ => 1e-3,
        },
        warm_start: true,
        damping: 1e-3,
        same_batch: true,
        epochs: Some(epochs),
        step: PoisonStep::SlotAdam,
        poison_rate: 0.1,
        decay: false,
        warm_up: 0,
        renew_epochs: Some(renewal),
        ..AttackSettings::default()
    }
}

/// Settings of victims trained by `method` at noise level `sigma`, from a preset.
pub fn training_preset(preset: Preset, method: Method, sigma: f64) -> TrainingSettings {
    let base = TrainingSettings { method, sigma, ..TrainingSettings::default() };
    if preset == Preset::Default {
        return base;
    }
    let mnist = preset == Preset::OfficialMnist;
    let smoothadv = method == Method::SmoothAdv;
    let lambda = match (mnist, sigma <= 0.25) {
        (true, _) => 16.0,
        (false, true) => 12.0,
        (false, false) => 4.0,
    };
    TrainingSettings {
        preset,
        network: if mnist { Architecture::LeNet } else { Architecture::ResNet20 },
        epochs: if mnist || method != Method::Gaussian { 101 } else { 201 },
        batch: if smoothadv || (!mnist && method == Method::Macer) { 100 } else { 200 },
        rate: 1e-3,
        frozen_bn: true,
        fixed_noise: smoothadv,
        crop: if mnist || smoothadv { 0 } else { 4 },
        flip: !(mnist || smoothadv),
        smoothadv: SmoothAdvSettings { radius: 1.0, steps: 2, noises: 1, warm_up: 10 },
        macer: MacerSettings { noises: 16, lambda, beta: 16.0, gamma: 8.0, clamp: 0.0 },
        ..base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_in_range() {
        for &preset in Preset::ALL {
            for &method in Method::ALL {
                attack_preset(preset, method).check(10).unwrap();
                training_preset(preset, method, 0.5).check().unwrap();
            }
        }
    }

    /// Some cells of the published tables.
    #[test]
    fn the_official_presets_are_the_published_ones() {
        let attack = attack_preset(Preset::OfficialMnist, Method::Gaussian);
        assert_eq!((attack.batch, attack.poison_in_batch(), attack.total_steps(5421)), (1000, 100, 50 * 55));
        assert_eq!((attack.renewal(5421), attack.solver_rate), (Some(550), 1e-2));
        let attack = attack_preset(Preset::OfficialMnist, Method::SmoothAdv);
        assert_eq!((attack.inner_steps, attack.clamp, attack.epochs), (1, 1e-4, Some(100)));
        let attack = attack_preset(Preset::OfficialCifar10, Method::Macer);
        assert_eq!(
            (attack.poison_in_batch(), attack.epsilon, attack.macer.noises, attack.crop),
            (20, 0.03, 2, 4)
        );
        let victim = training_preset(Preset::OfficialCifar10, Method::Macer, 0.25);
        assert_eq!((victim.epochs, victim.batch, victim.macer.lambda), (101, 100, 12.0));
        assert_eq!(training_preset(Preset::OfficialCifar10, Method::Gaussian, 0.5).epochs, 201);
        assert!(training_preset(Preset::OfficialMnist, Method::SmoothAdv, 0.5).fixed_noise);
    }
}
