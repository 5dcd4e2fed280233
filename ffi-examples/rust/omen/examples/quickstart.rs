//! Store three vectors, find the nearest one.
// SPDX-License-Identifier: Apache-2.0
use omen::{Batch, Db, Error, Metric, Options, Query};

fn main() -> Result<(), Error> {
    let db = Db::memory()?;
    let colours = db.create("colours", &Options::new(3).metric(Metric::Cosine))?;
    colours.add(&Batch::new(&[1.0f32, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], 3))?;
    let hits = colours.search(&Query::new(&[0.1f32, 0.9, 0.0], 3).k(1))?;
    for hit in hits.query(0) {
        println!("item {} at distance {:.4}", hit.key, hit.distance);
    }
    Ok(())
}
