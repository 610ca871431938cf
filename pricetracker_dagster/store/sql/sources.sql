INSERT INTO sources VALUES ($versions::BIGINT[], $tracked::VARCHAR[], $folder);
