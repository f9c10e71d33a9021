# Counts words; what it says of the world must be the same everywhere.
words = STDIN.read.split.tally.sort
words.each { |word, count| puts "#{word} #{count}" }
File.write("/out/words.txt", words.map(&:first).join("\n"))
Dir.mkdir("/out/deep")
File.write("/out/deep/square.bin", (0..999).map { |n| n * n }.pack("N*"))
p Dir.children("/in").sort, ENV["HOME"], Time.at(0).utc.year, RUBY_VERSION
exit 3
