from spo_jax.acting.seeds import derived_id, derived_seed


def test_same_parts_same_seed_any_other_part_another():
    seeds = {
        derived_seed(0, "online", f"{update:08d}", "set/p", j)
        for update in range(50)
        for j in range(8)
    }
    assert len(seeds) == 400
    assert derived_seed(0, "online", "a") == derived_seed(0, "online", "a")
    assert derived_seed(0, "ab", "c") != derived_seed(0, "a", "bc")
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_ids_are_short_hexadecimal_and_differ():
    assert derived_id("run", 1) != derived_id("run", 2)
    assert len(derived_id("run", 1)) == 24
