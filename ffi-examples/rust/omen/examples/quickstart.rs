//! Store three colours, find the nearest one, and the nearest one that is warm.
// SPDX-License-Identifier: Apache-2.0
use omen::{Batch, Db, Error, Metadata, Metric, Options, Query};

fn main() -> Result<(), Error> {
    let db = Db::memory()?;
    let colours = db.create("colours", &Options::new(3).metric(Metric::Cosine))?;
    let objects = [r#"{"warm": true}"#, r#"{"warm": false}"#, r#"{"warm": false}"#];
    let metadata: Metadata = objects.iter().collect();
    let rows = [1.0f32, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    colours.add(&Batch::new(&rows, 3).metadata(&metadata))?;

    let query = Query::new(&[0.1f32, 0.9, 0.0], 3).k(1);
    let warm = colours.filter("warm = $1", &[true.into()])?;
    for hits in [colours.search(&query)?, colours.search(&query.filter(&warm))?] {
        for hit in hits.query(0) {
            println!("item {} at distance {:.4}", hit.key, hit.distance);
        }
    }
    Ok(())
}
