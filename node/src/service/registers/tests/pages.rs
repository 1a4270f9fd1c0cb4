//! What a page costs to read, and what a page token that was made up can reach.

use super::*;

#[test]
fn no_row_is_read_twice_for_one_page() {
    let scene = Scene::set();
    let sight = scene.sight(WORKER);
    let registry = &scene.engine.registry;
    let rows = CountingRows::of(&scene.engine.rows);
    let check = |what: &str| {
        let mut read = 0;
        for (_, _, index, _) in &scene.logged {
            for key in [codec::entry(*index), codec::payload(*index)] {
                let of_this = rows.read_of(&key);
                assert!(of_this <= 1, "{what}: {of_this} reads of one row");
                read += of_this;
            }
        }
        assert!(read > 0, "{what}");
        rows.reset();
    };
    let query = RegisterQuery::new(&sight, register()).unwrap();
    let page = list(&rows, registry, (&query, &sight)).unwrap();
    assert_eq!(page.entities.len(), 5);
    check("register");
    let mut request = changes();
    request.from = scene.first + 4;
    let query = DiffQuery::new(&sight, request).unwrap();
    let page = diff(&rows, registry, (&query, &sight)).unwrap();
    assert_eq!(page.changes.len(), 4);
    check("diff");
    let query = HistoryQuery::new(history_of(scene.first + 3)).unwrap();
    let page = history::page(&rows, registry, (&query, &sight)).unwrap();
    assert_eq!(page.versions.len(), 3);
    check("history");
    let request = pb::ListRecordsRequest {
        organization: "acme".to_owned(),
        kind: KIND.to_owned(),
        ..pb::ListRecordsRequest::default()
    };
    let query = Query::new(&sight, registry, request).unwrap();
    let page = records::page(&rows, &query, &sight).unwrap();
    assert_eq!(page.records.len(), scene.logged.len());
    assert!(page.records.iter().all(|it| it.disclosures == [b"a field"]));
    check("records");
}

#[test]
fn a_token_that_was_made_up_shows_what_the_reader_sees_and_nothing_else() {
    let scene = Scene::set();
    let size = scene.head().size.0;
    let bound = Bound::to("ListRegister", &register());
    for (at, number) in (0..=size).flat_map(|at| (0..8).map(move |number| (at, number))) {
        let mut request = register();
        request.page_token = bound.token([at, number]);
        let pages = scene.list(WRITER, &request).unwrap();
        let shown: Vec<_> = pages.iter().flat_map(|page| &page.entities).collect();
        let shown: Vec<_> = shown.into_iter().map(place).collect();
        let newest = scene.newest(at).into_iter();
        let seen = newest.filter(|it| it.3 == WRITER && it.0 >= number && number > 0);
        let seen: Vec<_> = seen.map(|it| (it.0, it.1, it.2)).collect();
        assert_eq!(shown, seen, "{at} {number}");
        assert!(pages.iter().all(|page| page.count.is_none()));
    }
    let mut beyond = register();
    beyond.page_token = bound.token([size + 1, 1]);
    assert_eq!(reason(scene.list(WRITER, &beyond)), Reason::BeyondTree);
}
