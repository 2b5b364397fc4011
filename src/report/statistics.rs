//! Statistics of experiments: intervals, tests and chances of conversion rates. The distribution functions are computed here, by
//! continued fractions and saddle-point densities, so that they hold to 1e-9 for ten people as for ten million.

use std::f64::consts::PI;

/// The two-sided 95 % quantile of the normal distribution.
const Z95: f64 = 1.959_963_984_540_054;
/// Where a continued fraction or series has converged.
const EPSILON: f64 = 1e-16;
/// Steps after which it must have; it takes about the square root of the numbers of people.
const STEPS: usize = 200_000;

/// People of a variant, and those of them who converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// People.
    pub people: u64,
    /// Of these, who converted.
    pub converted: u64,
}

impl Rate {
    fn lost(self) -> u64 {
        self.people - self.converted
    }

    /// The share of people who converted.
    pub fn rate(self) -> Option<f64> {
        (self.people > 0).then(|| self.converted as f64 / self.people as f64)
    }

    /// The 95 % interval of the rate (Wilson 1927).
    pub fn interval(self) -> Option<[f64; 2]> {
        let (p, n) = (self.rate()?, self.people as f64);
        let z2 = Z95 * Z95;
        let center = p + z2 / (2.0 * n);
        let half = Z95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z2 / n;
        // Of none and of all the ends are exact: rounded ones would leave the rate itself out.
        let low = if self.converted == 0 { 0.0 } else { (center - half) / scale };
        let high = if self.converted == self.people { 1.0 } else { (center + half) / scale };
        Some([low.max(0.0), high.min(1.0)])
    }
}

/// The two-sided p-value that two rates are one: a z-test with the pooled variance, or Fisher's exact test where a count of people
/// who converted or did not is under 5.
pub fn p_value(a: Rate, b: Rate) -> Option<f64> {
    if a.people == 0 || b.people == 0 {
        return None;
    }
    if [a.converted, a.lost(), b.converted, b.lost()].into_iter().any(|count| count < 5) {
        return Some(fisher(a, b));
    }
    let (n, m) = (a.people as f64, b.people as f64);
    let pooled = (a.converted + b.converted) as f64 / (n + m);
    let error = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    let z = (a.rate()? - b.rate()?) / error;
    Some(upper_gamma(0.5, z * z / 2.0))
}

/// Fisher's exact test, two-sided: the chance of all tables with these margins that are no likelier than the one observed.
fn fisher(a: Rate, b: Rate) -> f64 {
    let converted = a.converted + b.converted;
    let all = a.people + b.people;
    let low = converted.saturating_sub(b.people);
    let high = converted.min(a.people);
    // Weights relative to the likeliest table: nothing overflows, and what underflows does not count.
    let mode = ((a.people + 1) as u128 * (converted + 1) as u128 / (all + 2) as u128) as u64;
    let mode = mode.clamp(low, high);
    let up = |k: u64| {
        ((a.people - k) as f64 * (converted - k) as f64)
            / ((k + 1) as f64 * (b.people + k + 1 - converted) as f64)
    };
    let mut weights = vec![(mode, 1.0)];
    let mut weight = 1.0;
    for k in mode..high {
        weight *= up(k);
        weights.push((k + 1, weight));
    }
    weight = 1.0;
    for k in (low..mode).rev() {
        weight /= up(k);
        weights.push((k, weight));
    }
    let observed = weights.iter().find(|(k, _)| *k == a.converted).map_or(0.0, |(_, w)| *w);
    let total: f64 = weights.iter().map(|(_, w)| w).sum();
    let extreme: f64 = weights.iter().map(|(_, w)| *w).filter(|w| *w <= observed * (1.0 + 1e-7)).sum();
    (extreme / total).min(1.0)
}

/// The p-value that people were split equally (chi-square).
pub fn sample_ratio(people: &[u64]) -> Option<f64> {
    let total: u64 = people.iter().sum();
    if people.len() < 2 || total == 0 {
        return None;
    }
    let expected = total as f64 / people.len() as f64;
    let chi2: f64 = people.iter().map(|n| (*n as f64 - expected).powi(2) / expected).sum();
    Some(upper_gamma((people.len() - 1) as f64 / 2.0, chi2 / 2.0))
}

/// The regularised upper incomplete gamma function, by its series or by its continued fraction (Lentz).
fn upper_gamma(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for k in 1..STEPS {
            term *= x / (a + k as f64);
            sum += term;
            if term < sum * EPSILON {
                break;
            }
        }
        return 1.0 - front * sum;
    }
    let mut b = x + 1.0 - a;
    let mut c = 1e300;
    let mut d = 1.0 / b;
    let mut h = d;
    for k in 1..STEPS {
        let an = -(k as f64) * (k as f64 - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        h *= d * c;
        if (d * c - 1.0).abs() < EPSILON * 4.0 {
            break;
        }
    }
    front * h
}

/// The logarithm of the gamma function: Stirling's series, after shifting small arguments up.
fn ln_gamma(x: f64) -> f64 {
    let (mut shift, mut y) = (0.0, x);
    while y < 15.0 {
        shift += y.ln();
        y += 1.0;
    }
    (y - 0.5) * y.ln() - y + 0.5 * (2.0 * PI).ln() + stirling(y) - shift
}

/// What Stirling's formula leaves out of `ln gamma(y)`, for y of 15 and more.
fn stirling(y: f64) -> f64 {
    let y2 = y * y;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / (1188.0 * y2)) / y2) / y2) / y2) / y
}

/// `ln n! - ln(sqrt(2 pi n) (n / e)^n)`.
fn factorial_error(n: f64) -> f64 {
    if n >= 15.0 {
        return stirling(n);
    }
    ln_gamma(n + 1.0) - (n + 0.5) * n.ln() + n - 0.5 * (2.0 * PI).ln()
}

/// `x ln(x / m) + m - x` without cancellation.
fn deviance(x: f64, m: f64) -> f64 {
    if (x - m).abs() >= 0.1 * (x + m) {
        return x * (x / m).ln() + m - x;
    }
    let v = (x - m) / (x + m);
    let (mut sum, mut power) = ((x - m) * v, 2.0 * x * v);
    for k in 1..1000 {
        power *= v * v;
        let next = sum + power / (2 * k + 1) as f64;
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

/// The binomial probability of `k` of `n` at `p`, for real `k` and `n` (Loader 2000: saddle-point expansion).
fn binomial(k: f64, n: f64, p: f64) -> f64 {
    let q = 1.0 - p;
    if k <= 0.0 {
        return (n * (-p).ln_1p()).exp();
    }
    if k >= n {
        return (n * p.ln()).exp();
    }
    let error = factorial_error(n) - factorial_error(k) - factorial_error(n - k);
    let exponent = error - deviance(k, n * p) - deviance(n - k, n * q);
    exponent.exp() * (n / (2.0 * PI * k * (n - k))).sqrt()
}

/// The density and the distribution function of Beta(a, b) at `x`, for a and b of 1 and more.
fn beta(a: f64, b: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 || x >= 1.0 {
        return (0.0, if x <= 0.0 { 0.0 } else { 1.0 });
    }
    let density = (a + b - 1.0) * binomial(a - 1.0, a + b - 2.0, x);
    let front = a * b / (a + b) * binomial(a, a + b, x);
    let below = if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    };
    (density, below)
}

/// The continued fraction of the incomplete beta function (Lentz).
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let tiny = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / tiny(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..STEPS {
        let m = m as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / tiny(1.0 + even * d);
        c = tiny(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / tiny(1.0 + odd * d);
        c = tiny(1.0 + odd / c);
        h *= d * c;
        if (d * c - 1.0).abs() < EPSILON * 4.0 {
            break;
        }
    }
    h
}

/// For each variant the chance that its rate is the highest, each rate having the posterior of a uniform prior: the integral of its
/// density times the others' distribution functions, by Gauss-Legendre on panels between multiples of every deviation.
pub fn probability_best(variants: &[Rate]) -> Vec<f64> {
    let shapes: Vec<(f64, f64)> =
        variants.iter().map(|v| (1.0 + v.converted as f64, 1.0 + v.lost() as f64)).collect();
    let mut borders = vec![0.0, 1.0];
    for (a, b) in &shapes {
        let mean = a / (a + b);
        let deviation = (a * b / (a + b + 1.0)).sqrt() / (a + b);
        for k in [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 20.0, 30.0, 40.0] {
            borders.extend([mean - k * deviation, mean + k * deviation]);
        }
    }
    borders.retain(|x| (0.0..=1.0).contains(x));
    borders.sort_by(f64::total_cmp);
    borders.dedup();
    let nodes = legendre(20);
    let mut chances = vec![0.0; shapes.len()];
    for pair in borders.windows(2) {
        let [low, high] = pair else { continue };
        for (node, weight) in &nodes {
            let x = low + (high - low) * (node + 1.0) / 2.0;
            let at: Vec<(f64, f64)> = shapes.iter().map(|(a, b)| beta(*a, *b, x)).collect();
            for (i, chance) in chances.iter_mut().enumerate() {
                let others = at.iter().enumerate().filter(|(j, _)| *j != i);
                let product: f64 = others.map(|(_, (_, below))| below).product();
                let density = at.get(i).map_or(0.0, |(density, _)| *density);
                *chance += density * product * weight * (high - low) / 2.0;
            }
        }
    }
    // A sum of rounded parts may pass the whole by the last digit.
    chances.iter_mut().for_each(|chance| *chance = chance.clamp(0.0, 1.0));
    chances
}

/// Nodes and weights of Gauss-Legendre quadrature on -1..1, by Newton's method on the polynomial.
fn legendre(count: usize) -> Vec<(f64, f64)> {
    let n = count as f64;
    let node = |k: usize| {
        let mut x = (PI * (k as f64 + 0.75) / (n + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..50 {
            let (mut p, mut before) = (1.0, 0.0);
            for j in 0..count {
                let j = j as f64;
                (p, before) = (((2.0 * j + 1.0) * x * p - j * before) / (j + 1.0), p);
            }
            slope = n * (x * p - before) / (x * x - 1.0);
            let step = p / slope;
            x -= step;
            if step.abs() < 1e-16 {
                break;
            }
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..count).map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(converted: u64, people: u64) -> Rate {
        Rate { people, converted }
    }

    fn near(ours: f64, known: f64, what: &str) {
        assert!((ours - known).abs() <= 1e-9 * known.abs().max(1e-3), "{what}: {ours}, known {known}");
    }

    /// The figures of scipy 1.17.1: `stats.norm`, `fisher_exact`, `binomtest(...).proportion_ci(method="wilson")`, `chisquare`.
    #[test]
    fn tests_and_intervals_agree_with_another_implementation() {
        for (a, n, b, m, known) in [
            (35, 100, 20, 100, 0.01752886126037276),
            (500, 10_000, 560, 10_100, 0.08415246024043607),
            (50_000, 1_000_000, 51_000, 1_000_000, 0.001241471028728401),
            (0, 10, 9, 10, 0.00011907597046915932),
            (3, 20, 9, 21, 0.08549343993875859),
            (2, 1000, 10, 1200, 0.07678667577707946),
            // One table of the C(9, 4) is as unlikely: 1 / 126.
            (4, 4, 0, 5, 0.007936507936507934),
        ] {
            near(p_value(rate(a, n), rate(b, m)).unwrap(), known, &format!("{a}/{n} {b}/{m}"));
        }
        for (k, n, low, high) in [
            (0, 10, 0.0, 0.27753279986288926),
            (10, 10, 0.7224672001371109, 1.0),
            (35, 100, 0.2636424824309753, 0.44745556703112044),
            (50_000, 1_000_000, 0.04957456172546827, 0.05042889558417928),
        ] {
            let [ours_low, ours_high] = rate(k, n).interval().unwrap();
            near(ours_low, low, "low");
            near(ours_high, high, "high");
        }
        for n in 1..2000 {
            let (none, all) = (rate(0, n).interval().unwrap(), rate(n, n).interval().unwrap());
            assert_eq!((none[0], all[1]), (0.0, 1.0), "of {n}");
        }
        for (people, known) in [
            (vec![100, 120], 0.1775298524121496),
            (vec![10, 20, 30], 0.006737946999085468),
            (vec![1000, 1000, 1100, 990], 0.04818235301044337),
            (vec![5_000_000, 5_010_000], 0.001573917505552492),
        ] {
            near(sample_ratio(&people).unwrap(), known, &format!("{people:?}"));
        }
        assert_eq!(
            (rate(0, 0).interval(), p_value(rate(0, 0), rate(1, 2)), sample_ratio(&[5])),
            (None, None, None)
        );
    }

    /// For two variants the chance has a closed form, a finite sum of beta functions; these are its values by scipy.
    #[test]
    fn the_chance_of_being_best_agrees_with_its_closed_form() {
        for (a, b, known) in [
            (rate(20, 100), rate(35, 100), 0.9910269999659781),
            (rate(0, 10), rate(9, 10), 0.999982989147076),
            (rate(500, 10_000), rate(560, 10_100), 0.957871652782888),
            (rate(0, 1000), rate(3, 900), 0.9498198293768806),
            (rate(0, 1), rate(0, 1), 0.5),
            (rate(0, 0), rate(0, 0), 0.5),
        ] {
            let chances = probability_best(&[a, b]);
            assert!((chances[1] - known).abs() < 1e-9, "{a:?} {b:?}: {}, known {known}", chances[1]);
            assert!((chances[0] + chances[1] - 1.0).abs() < 1e-9);
        }
        let large = probability_best(&[rate(500_000, 5_000_000), rate(500_500, 5_000_000), rate(10, 90)]);
        assert!((large.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{large:?}");
        let equal = probability_best(&[rate(7, 50); 4]);
        assert!(equal.iter().all(|chance| (chance - 0.25).abs() < 1e-9));
    }
}
