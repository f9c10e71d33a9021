# What a pure task must see the same, everywhere and always.
p rand, Random.bytes(8), Time.now.to_f, Process.clock_gettime(Process::CLOCK_MONOTONIC), "x".hash, Object.new.hash
sleep 0.01
p Time.now.to_f
